"""A server that remembers the headers of all that it was sent, and answers as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from multidict import CIMultiDictProxy

HEALTH_PATH = "/health"


@dataclass(slots=True)
class RecordingServer:
    """One that runs."""

    address: str = ""
    status: int = 200
    """What it answers, but to health checks."""
    health_delay_s: float = 0.0
    """How long a health check takes."""
    seen: list[CIMultiDictProxy[str]] = field(default_factory=list)
    """The headers of each request."""
    paths: list[str] = field(default_factory=list)
    """The path of each request, with its query."""
    answers_with: dict[str, str] = field(default_factory=dict)
    """Headers of its answers."""

    def values(self, header: str) -> set[str | None]:
        """Return all that it has seen in *header*; None: a request without it."""
        return {headers.get(header) for headers in self.seen}

    def all_values(self, header: str) -> set[tuple[str, ...]]:
        """Return the same, with all that a request has in *header*."""
        return {tuple(headers.getall(header, ())) for headers in self.seen}


@asynccontextmanager
async def recording_server(
    status: int = 200, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RecordingServer]:
    """Run a server that answers everything with *status*."""
    server = RecordingServer(status=status)

    async def answer(request: web.Request) -> web.Response:
        if request.path == HEALTH_PATH:
            await asyncio.sleep(server.health_delay_s)
            return web.Response()
        server.seen.append(request.headers)
        server.paths.append(request.raw_path)
        return web.json_response({}, status=server.status, headers=server.answers_with)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls).start()
        host, port = runner.addresses[0][:2]
        server.address = f"{host}:{port}"
        yield server
    finally:
        await runner.cleanup()
