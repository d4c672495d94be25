"""Streams from a token server over kept-alive connections, and how late each event came.

`python -m tests.support.token_load 127.0.0.1:10000 --streams 100` prints JSON: `first_s` has for
each stream the seconds from the request to its first event, `late_s` for each further event the
seconds from when the server sent it; `failures` counts streams that were not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from tests.support import token_server

TIMEOUT_S = 30.0
_SENT = re.compile(rb"data: (\d+\.\d+)\n\n")


@dataclass(slots=True)
class Streamed:
    """What became of the streams."""

    first_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    failures: int = 0


async def load(  # noqa: PLR0913 - each by name
    address: str,
    *,
    streams: int,
    workers: int = 1,
    events: int = 1,
    gap_ms: int = 0,
    text_bytes: int = 900,
) -> Streamed:
    """Ask *address* for *streams* streams, *workers* at a time, which do not keep step."""
    found = Streamed()
    body = json.dumps({"prompt": "x" * text_bytes, "stream": True, "model": "probe"}).encode()
    request = (
        f"POST {token_server.path(events, gap_ms)} HTTP/1.1\r\nhost: bench\r\nx-model: probe\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    waiting = iter(range(streams))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(_work(address, request, events, waiting, found))
            await asyncio.sleep(events * gap_ms / 1000 / workers)
    return found


async def _work(
    address: str, request: bytes, events: int, waiting: Iterator[int], found: Streamed
) -> None:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for _ in waiting:
            started_s = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(TIMEOUT_S):
                times = await _events(reader)
            if len(times) != events:
                found.failures += 1
                continue
            found.first_s.append(times[0][1] - started_s)
            found.late_s += [arrived_s - sent_s for sent_s, arrived_s in times[1:]]
    finally:
        writer.close()


async def _events(reader: asyncio.StreamReader) -> list[tuple[float, float]]:
    """Read one answer; return when each event was sent and when it arrived."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not a stream: {head!r}")
    times = []
    while size := int(await reader.readline(), 16):
        data = await reader.readexactly(size + 2)
        now_s = time.perf_counter()
        times += [(float(sent), now_s) for sent in _SENT.findall(data)]
    await reader.readexactly(2)
    return times


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    for name in ("streams", "workers", "events"):
        parser.add_argument(f"--{name}", type=int, default=1)
    parser.add_argument("--gap-ms", type=int, default=0)
    return parser


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(load(**vars(_parser().parse_args()))))))
