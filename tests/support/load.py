"""Continuous OpenAI-style requests over kept-alive connections, and what became of each.

A worker is one connection that sends its next request as soon as the last is answered. Nothing is
tried twice: a connection that breaks with a request on it is a failure. Runs inside a test, or as a
process of its own: `python -m tests.support.load 127.0.0.1:10000 --model m --requests 10000`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.support.http_response import Response, ResponseParser
from tests.support.load_report import LoadReport, Sample
from xds_server.ext_proc.heap import keep_freed_memory

KEPT_BODY_BYTES = 500
MAX_FAILURES = 1000


class LoadEndedError(Exception):
    """The load ended before it saw what was waited for."""


class Load:
    """Workers that send *requests* in turn until stopped, or until *limit* were sent."""

    def __init__(  # noqa: PLR0913 - each by name
        self,
        address: str,
        requests: Sequence[bytes],
        *,
        workers: int = 4,
        limit: int | None = None,
        timeout_s: float = 10.0,
        max_failures: int = MAX_FAILURES,
    ) -> None:
        self.report = LoadReport()
        self.timeout_s = timeout_s
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._requests = requests
        self._workers = workers
        self._limit = limit
        self._max_failures = max_failures
        self._taken = 0
        self._stopped = False
        self._ended = False
        self._waiters: list[tuple[Callable[[Sample], bool], asyncio.Future[Sample]]] = []

    async def run(self) -> LoadReport:
        """Send until the end, and return the report."""
        self.report.started_s = time.perf_counter()
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(self._workers):
                    tasks.create_task(self._work())
        finally:
            self.report.ended_s = time.perf_counter()
            self._end()
        return self.report

    def stop(self) -> None:
        """Send no more; requests on their way are still answered."""
        self._stopped = True

    async def first(self, matches: Callable[[Sample], bool]) -> Sample:
        """Wait for the first sample from now on that *matches*; LoadEndedError if none comes."""
        if self._ended:
            raise LoadEndedError(self.report.summary())
        waiter: asyncio.Future[Sample] = asyncio.get_running_loop().create_future()
        self._waiters.append((matches, waiter))
        return await waiter

    async def answered(self, count: int) -> None:
        """Wait until *count* more requests than now have ended."""
        wanted = self.report.requests + count
        await self.first(lambda _sample: self.report.requests >= wanted)

    def take(self) -> int | None:
        """Return the position of the next request to send, None when there is none."""
        limited = self._limit is not None and self._taken >= self._limit
        if self._stopped or limited or self.report.failures >= self._max_failures:
            return None
        self._taken += 1
        return (self._taken - 1) % len(self._requests)

    def request(self, position: int) -> bytes:
        return self._requests[position]

    def record(self, sample: Sample) -> None:
        self.report.add(sample)
        if not self._waiters:
            return
        met = [waiter for matches, waiter in self._waiters if waiter.done() or matches(sample)]
        self._waiters = [one for one in self._waiters if one[1] not in met]
        for waiter in met:
            if not waiter.done():
                waiter.set_result(sample)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while (position := self.take()) is not None:
            connection = _Connection(self, position)
            started_s = time.perf_counter()
            try:
                async with asyncio.timeout(self.timeout_s):
                    await loop.create_connection(lambda c=connection: c, self._host, self._port)
            except OSError as error:  # TimeoutError included
                text = f"connect: {type(error).__name__}"
                self.record(Sample(position, started_s, 0.0, 0, "", "", text))
                continue
            try:
                await connection.closed
            finally:
                connection.abort()

    def _end(self) -> None:
        self._ended = True
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(LoadEndedError(self.report.summary()))
        self._waiters = []


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request on it."""

    def __init__(self, load: Load, position: int) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._load = load
        self._position: int | None = position
        self._started_s = 0.0
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()
        self._watch()

    def data_received(self, data: bytes) -> None:
        try:
            response = self._parser.feed(data)
        except ValueError as error:
            self._fail(f"not HTTP: {error}")
            return
        if response is None:
            return
        if self._position is None or self._parser.left_over:
            self._fail("more bytes than were asked for")
            return
        self._load.record(self._sample(response))
        self._position = self._load.take() if response.keeps_alive else None
        if self._position is None:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._position is not None:
            self._record_failure(f"closed: {type(exc).__name__ if exc else 'by the server'}")
        if self._watchdog is not None:
            self._watchdog.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        self._started_s = time.perf_counter()
        self._transport.write(self._load.request(self._position))

    def _watch(self) -> None:
        waited_s = time.perf_counter() - self._started_s
        if self._position is not None and waited_s >= self._load.timeout_s:
            self._fail("timeout")
            return
        loop = asyncio.get_running_loop()
        self._watchdog = loop.call_later(self._load.timeout_s - waited_s, self._watch)

    def _fail(self, error: str) -> None:
        self._record_failure(error)
        self._transport.abort()

    def _record_failure(self, error: str) -> None:
        position, self._position = self._position, None
        latency_s = time.perf_counter() - self._started_s
        self._load.record(Sample(position or 0, self._started_s, latency_s, 0, "", "", error))

    def _sample(self, response: Response) -> Sample:
        error = ""
        if not 200 <= response.status < 300:
            body = response.body[:KEPT_BODY_BYTES].decode("utf-8", "replace")
            error = f"{response.status}: {body}"
        return Sample(
            self._position,
            self._started_s,
            time.perf_counter() - self._started_s,
            response.status,
            response.headers.get("x-gateway-pool", ""),
            response.headers.get("x-simulate-server", ""),
            error,
        )


def chat_request(  # noqa: PLR0913 - each by name
    model: str,
    *,
    path: str = "/v1/chat/completions",
    text: str = "hello",
    stream: bool = False,
    headers: Mapping[str, str] | None = None,
    host: str = "modelyard.test",
) -> bytes:
    """Return the bytes of a chat request for *model*; *text* is what the user says."""
    message = {"role": "user", "content": text}
    body = json.dumps({"model": model, "messages": [message], "stream": stream}).encode()
    lines = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


async def run_load(
    address: str,
    requests: Sequence[bytes],
    *,
    count: int,
    workers: int = 4,
    timeout_s: float = 10.0,
) -> LoadReport:
    """Send *count* requests and return the report."""
    return await Load(address, requests, workers=workers, limit=count, timeout_s=timeout_s).run()


@asynccontextmanager
async def continuous_load(
    address: str,
    requests: Sequence[bytes],
    *,
    workers: int = 4,
    timeout_s: float = 10.0,
    max_failures: int = MAX_FAILURES,
) -> AsyncIterator[Load]:
    """Send all the time meanwhile; afterwards `report` is complete.

    It ends by itself after *max_failures*.
    """
    load = Load(address, requests, workers=workers, timeout_s=timeout_s, max_failures=max_failures)
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        try:
            yield load
        except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
            failure = error
        finally:
            load.stop()
    if failure is not None:
        raise failure


def main() -> None:
    # Else asyncio maps a buffer of 256 KiB for each read, which takes longer than all the rest.
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="host:port")
    parser.add_argument("--model", action="append", required=True, help="repeatable, in turn")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--header", action="append", default=[], help="name: value")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--text-bytes", type=int, default=100, help="length of the user's text")
    options = parser.parse_args()
    headers = {name: value.strip() for name, _, value in (h.partition(":") for h in options.header)}
    text = "x" * options.text_bytes
    requests = [
        chat_request(model, path=options.path, text=text, headers=headers)
        for model in options.model
    ]
    report = asyncio.run(
        run_load(options.address, requests, count=options.requests, workers=options.workers)
    )
    print(json.dumps(report.summary()))


if __name__ == "__main__":
    main()
