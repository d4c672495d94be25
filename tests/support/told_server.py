"""A model server that says what a test has it say: byte by byte, when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.web_server import web_server

WITHIN_S = 10.0
EVENTS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Exchange:
    """A request that has arrived whole, and the answer that a test gives to it."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.path = request.raw_path
        self.body = body
        self.ended = asyncio.Event()
        self.gone = asyncio.Event()
        """Set once the other end went away before the answer had ended."""
        self.sent = 0
        """Bytes of the answer that the connection has taken."""
        self.response = web.StreamResponse()
        self._request = request

    async def start(
        self, headers: Mapping[str, str] = EVENTS, *, length: int | None = None
    ) -> None:
        """Send the head of an answer of *length* bytes; None: chunked."""
        self.response.headers.update(headers)
        self.response.content_length = length
        await self.response.prepare(self._request)

    async def say(self, data: bytes) -> None:
        """Send *data*, and wait until there is room for more."""
        await self.response.write(data)
        self.sent += len(data)

    async def end(self) -> None:
        """End the answer."""
        await self.response.write_eof()
        self.ended.set()

    def cut(self) -> None:
        """Close the connection in the middle of the answer."""
        assert self._request.transport
        self._request.transport.abort()

    async def left(self) -> None:
        """Wait until the other end has gone away."""
        async with asyncio.timeout(WITHIN_S):
            await self.gone.wait()


class ToldServer:
    """Takes any request; `GET /health` alone is answered by itself."""

    def __init__(self) -> None:
        self.address = ""
        """`host:port`, once it runs."""
        self.healthy = True
        self.checks = 0
        """Health checks so far."""
        self._arrived: asyncio.Queue[Exchange] = asyncio.Queue()

    async def next(self) -> Exchange:
        """Wait for the next request."""
        async with asyncio.timeout(WITHIN_S):
            return await self._arrived.get()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            self.checks += 1
            return web.Response(status=200 if self.healthy else 503)
        exchange = Exchange(request, await request.read())
        self._arrived.put_nowait(exchange)
        try:
            await exchange.ended.wait()
        except asyncio.CancelledError:
            exchange.gone.set()
            raise
        return exchange.response


@asynccontextmanager
async def told_server() -> AsyncIterator[ToldServer]:
    """Run one server on a free port meanwhile."""
    server = ToldServer()
    async with web_server(server.answer) as server.address:
        yield server
