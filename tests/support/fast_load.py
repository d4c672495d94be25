"""Requests as fast as one process can send them, to measure proxies with.

A process that stays: a line of JSON on stdin is a `Job`, the line on stdout that answers it is what
came of it. It counts and does little else, so that it takes less of the processor than what it
measures: about 10 µs a request, where `tests.support.load`, which can tell more, takes 30.
"""

from __future__ import annotations

import asyncio
import json
import random
import select
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from math import ceil
from typing import Any

from tests.support.processor import cpu_s
from xds_server.ext_proc.heap import keep_freed_memory

TIMEOUT_S = 60.0
"""Without any answer; then what is under way has failed."""
MAX_FAILURES = 100
SEED = 7
_READ_BYTES = 256 * 1024
_LENGTH = b"\r\ncontent-length: "


@dataclass(frozen=True, slots=True)
class Job:
    """What to send; as many requests as are answered within *seconds*."""

    address: str
    connections: int
    seconds: float
    text_bytes: int
    """Length of what the user says."""
    models: Sequence[str] = ("probe",)
    """Names in an order of chance; *different* requests are prepared, and sent in turn."""
    different: int = 1
    warm_up_s: float = 0.02
    """Sent as well, after one request on each connection, and not counted."""
    pids: Sequence[int] = ()
    """Processes whose time on a processor is wanted."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides those of every request."""


@dataclass(slots=True)
class Outcome:
    """What came of a job."""

    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    p50_s: float = 0.0
    p99_s: float = 0.0
    cpu_s: list[float] = field(default_factory=list)
    """By process, while requests were counted."""
    own_cpu_s: float = 0.0
    first_failure: str = ""

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return (self.requests - self.failures) / self.seconds


def prepared(job: Job) -> list[bytes]:
    """Return the requests of *job*; their order is the same each time."""
    chance = random.Random(SEED)
    return [_request(job, chance.choice(job.models)) for _ in range(job.different)]


def _request(job: Job, model: str) -> bytes:
    message = {"role": "user", "content": "x" * job.text_bytes}
    body = json.dumps({"model": model, "messages": [message], "stream": False}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nx-model: {model}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    more = "".join(f"{name}: {value}\r\n" for name, value in job.headers.items())
    return f"{head}{more}\r\n".encode() + body


class TooManyFailuresError(Exception):
    """What is measured does not work; the message is what came last."""


class FastLoad:
    """One job, done in the foreground."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._requests = prepared(job)
        self._next = 0
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._latencies_s: list[float] = []
        self._failures: list[str] = []

    def run(self) -> Outcome:
        """Send until the time is over, and return the outcome."""
        try:
            for _ in range(self._job.connections):
                self._connect()
            self._send_for(self._job.warm_up_s)
            self._latencies_s.clear()
            self._failures.clear()
            return self._measured()
        finally:
            for connection in self._connections.values():
                connection.socket.close()
            self._epoll.close()

    def _measured(self) -> Outcome:
        before = [cpu_s(pid) for pid in self._job.pids]
        own_s, started_s = time.process_time(), time.perf_counter()
        self._send_for(self._job.seconds)
        elapsed_s = time.perf_counter() - started_s
        own_s = time.process_time() - own_s
        spent = [cpu_s(pid) - earlier for pid, earlier in zip(self._job.pids, before, strict=True)]
        ordered = sorted(self._latencies_s) or [0.0]
        return Outcome(
            requests=len(self._latencies_s) + len(self._failures),
            failures=len(self._failures),
            seconds=elapsed_s,
            p50_s=_percentile(ordered, 50),
            p99_s=_percentile(ordered, 99),
            cpu_s=spent,
            own_cpu_s=own_s,
            first_failure=self._failures[0] if self._failures else "",
        )

    def _connect(self) -> None:
        connection = _Connection(self._job.address)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket.fileno(), select.EPOLLIN)
        self._send(connection)

    def _send_for(self, seconds: float) -> None:
        """Answer each answer with a request, until *seconds* are over and any came."""
        had, ends_s = len(self._latencies_s), time.perf_counter() + seconds
        while time.perf_counter() < ends_s or len(self._latencies_s) == had:
            events = self._epoll.poll(TIMEOUT_S)
            if not events:
                raise TimeoutError(f"no answer from {self._job.address} in {TIMEOUT_S:.0f} s")
            for number, event in events:
                self._on_event(self._connections[number], event)

    def _on_event(self, connection: _Connection, event: int) -> None:
        try:
            if event & select.EPOLLOUT and connection.write():
                self._epoll.modify(connection.socket.fileno(), select.EPOLLIN)
            if event & ~select.EPOLLOUT and (status := connection.read()):
                self._on_answer(connection, status)
        except OSError as error:
            self._fail(f"{type(error).__name__}: {error}")
            del self._connections[connection.socket.fileno()]
            connection.socket.close()
            self._connect()

    def _on_answer(self, connection: _Connection, status: bytes) -> None:
        if status == b"200":
            self._latencies_s.append(time.perf_counter() - connection.started_s)
        else:
            self._fail(connection.received.decode("latin-1")[:500])
        self._send(connection)

    def _fail(self, why: str) -> None:
        self._failures.append(why)
        if len(self._failures) > max(MAX_FAILURES, self._job.connections):
            raise TooManyFailuresError(why)

    def _send(self, connection: _Connection) -> None:
        request = self._requests[self._next]
        self._next = (self._next + 1) % len(self._requests)
        if not connection.send(request):
            self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | select.EPOLLOUT)


class _Connection:
    """One kept-alive connection with one request on it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), TIMEOUT_S)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.started_s = 0.0
        self.received = b""
        """Of the answer, so far."""
        self._unsent = memoryview(b"")
        self._whole = False

    def send(self, request: bytes) -> bool:
        """Begin to send *request*; False if the rest of it is to be written."""
        self.started_s = time.perf_counter()
        self._whole = True
        sent = self.socket.send(request)
        if sent == len(request):
            return True
        self._unsent = memoryview(request)[sent:]
        return self.write()

    def write(self) -> bool:
        """Write what is left of the request; False if something still is."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        return True

    def read(self) -> bytes | None:
        """Return the status once the answer is whole; OSError if the connection is of no use."""
        data = self.socket.recv(_READ_BYTES)
        if not data:
            raise ConnectionResetError("closed by the server")
        if not self._whole:
            data = self.received + data
        self.received = data
        self._whole = _is_whole(data)
        return data[9:12] if self._whole else None


def _is_whole(data: bytes) -> bool:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    start = data.find(_LENGTH, 0, end)
    if start < 0:
        # Servers that are written with a capital C, or in chunks.
        head = data[:end].lower()
        start = head.find(_LENGTH)
        if start < 0:
            return b"chunked" not in head or data.endswith(b"\r\n0\r\n\r\n")
    start += len(_LENGTH)
    return len(data) >= end + 4 + int(data[start : data.find(b"\r", start)])


def _percentile(ordered: Sequence[float], percent: float) -> float:
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True)
class Loader:
    """The process, as the one who gives it jobs has it."""

    process: asyncio.subprocess.Process

    async def run(self, job: Job) -> Outcome:
        """Have *job* done."""
        self.process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        async with asyncio.timeout(2 * TIMEOUT_S + job.seconds):
            answer = await self.process.stdout.readline()
        assert answer, f"the load generator failed at {job.address}"
        return Outcome(**json.loads(answer))


@asynccontextmanager
async def fast_load_process() -> AsyncIterator[Loader]:
    """Run the process meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __spec__.name if __spec__ else __name__),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Loader(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def main() -> None:
    # Else a buffer is mapped for each read, which takes longer than all the rest.
    keep_freed_memory()
    for line in sys.stdin:
        fields: dict[str, Any] = json.loads(line)
        print(json.dumps(asdict(FastLoad(Job(**fields)).run())), flush=True)


if __name__ == "__main__":
    main()
