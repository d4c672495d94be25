"""A server that streams events of which each says when it was sent, for measuring proxies.

The path says how many and how fast: `/v1/completions?events=20&gap_ms=5`. `python -m
tests.support.token_server` prints its `host:port`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START_TIMEOUT_S = 20.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENTS = re.compile(rb"[?&]events=(\d+)")
_GAP = re.compile(rb"[?&]gap_ms=(\d+)")


def path(events: int, gap_ms: int) -> str:
    """Return the path that asks for *events* events with pauses of *gap_ms* milliseconds."""
    return f"/v1/completions?events={events}&gap_ms={gap_ms}"


def _event() -> bytes:
    # The clock is the same one in every process of a machine.
    event = b"data: %.9f\n\n" % time.perf_counter()
    return b"%x\r\n%b\r\n" % (len(event), event)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after the other."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_number(_LENGTH, head, 0))
            gap_s = _number(_GAP, head, 0) / 1000
            writer.write(HEAD + _event())
            for _ in range(_number(_EVENTS, head, 1) - 1):
                await asyncio.sleep(gap_s)
                writer.write(_event())
            writer.write(b"0\r\n\r\n")
    writer.close()


def _number(pattern: re.Pattern[bytes], head: bytes, default: int) -> int:
    found = pattern.search(head)
    return int(found[1]) if found else default


@asynccontextmanager
async def token_server_process() -> AsyncIterator[str]:
    """Serve in a process of its own meanwhile; gives `host:port`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __spec__.name), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            address = (await process.stdout.readline()).decode().strip()
        assert address, "the token server did not start"
        yield address
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
