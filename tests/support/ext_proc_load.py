"""Calls to a companion as fast as one process can make them, as Envoy makes them; no Envoy needed.

Each call is two messages, the second sent when the first is answered. A connection makes its calls
in groups, all frames of which were prepared before; so a call costs a fraction of what it costs the
companion. `python -m tests.support.ext_proc_load SOCKET --calls 1000` prints JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import hpack
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
)

from tests.support import corpus
from xds_server.ext_proc.heap import keep_freed_memory
from xds_server.ext_proc.wire.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    MAX_STREAM_ID,
    PREFACE,
    SETTINGS_ACK,
    Flag,
    Frame,
    Setting,
    frame,
    head,
    settings,
    window_update,
)
from xds_server.ext_proc.wire.grpc import framed

TIMEOUT_S = 30.0
LONGEST_BODY_BYTES = 60_000
"""What a stream may send before it is granted more."""
_READ_BYTES = 64 * 1024
_OPENED_BY = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/envoy.service.ext_proc.v3.ExternalProcessor/Process"),
    (":authority", "modelyard-ext-proc"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
_GOOD_END = b"grpc-status\x010"
_NAMED = b"x-gateway-model-name"
# The window of a connection is 64 KiB until it is made larger.
_START = PREFACE + settings({Setting.INITIAL_WINDOW_SIZE: 2**31 - 1}) + SETTINGS_ACK
_WIDE = window_update(0, 2**31 - 2**16)


@dataclass(frozen=True, slots=True)
class Calls:
    """What came of the calls."""

    calls: int
    seconds: float
    own_cpu_s: float

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds


@dataclass(frozen=True, slots=True)
class _Group:
    """The bytes of several calls at once: what opens them, and their bodies."""

    opening: bytes
    bodies: bytes


class _Connection:
    """One connection, and the groups of calls that it still has to make."""

    def __init__(self, address: str, groups: list[_Group], at_once: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect(address)
            self.socket.sendall(_START + _WIDE)
        except OSError:
            self.socket.close()
            raise
        self._groups = groups[::-1]
        self._at_once = at_once
        self._rest = b""
        self._answers = self._ends = 0
        self._current: _Group | None = None

    def next_group(self) -> bool:
        """Open the calls of the next group; False if there is none."""
        if not self._groups:
            return False
        self._current = self._groups.pop()
        self.socket.sendall(self._current.opening)
        return True

    def read(self) -> bool:
        """Take what has come; True if a group has ended."""
        data = self._rest + self.socket.recv(_READ_BYTES)
        if data == self._rest:
            raise ConnectionResetError("the companion ended the connection")
        self._rest = data[self._count(data) :]
        if self._answers == self._at_once and self._current is not None:
            group, self._current = self._current, None
            self.socket.sendall(group.bodies)
        if self._ends < self._at_once:
            return False
        self._answers = self._ends = 0
        return True

    def _count(self, data: bytes) -> int:
        """Count the answers and the ends of calls in *data*; return how much of it is whole."""
        at, end = 0, len(data)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, _ = head(data, at)
            stop = at + HEAD_BYTES + (high << 8 | low)
            if stop > end:
                break
            if kind == Frame.DATA:
                self._answers += 1
                if self._answers > self._at_once and data.find(_NAMED, at, stop) < 0:
                    raise ValueError(f"an answer without the model's name: {data[at:stop]!r}")
            elif kind == Frame.HEADERS and flags & Flag.END_STREAM:
                self._ends += 1
                if data.find(_GOOD_END, at, stop) < 0:
                    raise ValueError(f"a call that failed: {data[at:stop]!r}")
            elif kind == Frame.GOAWAY:
                raise ConnectionResetError(f"the companion says: {data[at:stop]!r}")
            at = stop
        return at


def load(address: str, *, calls: int, body_bytes: int, connections: int, at_once: int) -> Calls:
    """Make about *calls* calls, *at_once* on each of *connections*, to the socket *address*."""
    groups = max(1, calls // (connections * at_once))
    with ExitStack() as sockets:
        opened = []
        for _ in range(connections):
            prepared = list(_groups(groups, at_once, body_bytes))
            opened.append(_Connection(address, prepared, at_once))
            sockets.enter_context(opened[-1].socket)
        elapsed_s, own_s = _made(opened)
    return Calls(groups * connections * at_once, elapsed_s, own_s)


def _made(opened: Sequence[_Connection]) -> tuple[float, float]:
    """Make all calls; return how long that took, and how long on the processor."""
    by_number = {connection.socket.fileno(): connection for connection in opened}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    own_s, started_s = time.process_time(), time.perf_counter()
    busy = [connection.next_group() for connection in opened].count(True)
    while busy:
        events = poll.poll(TIMEOUT_S)
        if not events:
            raise TimeoutError("the companion does not answer")
        for number, _ in events:
            connection = by_number[number]
            if connection.read() and not connection.next_group():
                busy -= 1
    return time.perf_counter() - started_s, time.process_time() - own_s


def _groups(count: int, at_once: int, body_bytes: int) -> Iterator[_Group]:
    """Prepare the calls of one connection; its first ones tell the companion the header block."""
    encoder = hpack.Encoder()
    body = corpus.chat_with_messages(body_bytes, model_first=True)
    assert len(body) <= LONGEST_BODY_BYTES
    said = HttpHeaders()
    said.headers.headers.add(key="content-type", raw_value=b"application/json")
    first = framed(ProcessingRequest(request_headers=said).SerializeToString())
    whole = ProcessingRequest(request_body=HttpBody(body=body, end_of_stream=True))
    second = framed(whole.SerializeToString())
    cuts = range(0, len(second), MAX_FRAME_BYTES)
    parts = [second[start : start + MAX_FRAME_BYTES] for start in cuts]
    ids = iter(range(1, MAX_STREAM_ID, 2))
    for _ in range(count):
        opening, bodies = bytearray(), bytearray()
        for _ in range(at_once):
            id_ = next(ids)
            opening += frame(Frame.HEADERS, Flag.END_HEADERS, id_, encoder.encode(_OPENED_BY))
            opening += frame(Frame.DATA, 0, id_, first)
            for part in parts:
                bodies += frame(Frame.DATA, 0, id_, part)
        yield _Group(bytes(opening), bytes(bodies))


async def load_by_process(address: str, **options: int) -> Calls:
    """Do what `load` does, by a process of its own."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __spec__.name if __spec__ else __name__, address, *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, "the calls failed"
    return Calls(**json.loads(printed))


def main() -> None:
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="path of the companion's socket")
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--body-bytes", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--at-once", type=int, default=4, help="calls on one connection")
    print(json.dumps(asdict(load(**vars(parser.parse_args())))))


if __name__ == "__main__":
    main()
