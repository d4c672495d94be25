"""A server that answers every request alike: with what it saw of it, to the byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.web_server import web_server

TOLD_BYTES = 64 * 1024
"""Bodies up to this length are in the answer, a character per byte."""


class EchoServer:
    """Takes any method, path and body; its answers have what `Answer.seen` reads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        """`host:port`, once it runs."""
        self.requests = 0
        """Those that arrived whole, health checks not among them."""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.path != "/health":
            self.requests += 1
        seen = {
            "server": self.name,
            "method": request.method,
            "path": request.raw_path,
            "body_bytes": len(body),
            "body_sha256": hashlib.sha256(body).hexdigest(),
            "body": body.decode("latin-1") if len(body) <= TOLD_BYTES else None,
            "headers": _headers(request),
        }
        answer = json.dumps({"simulate": seen}).encode()
        headers = {"content-type": "application/json", "x-simulate-server": self.name}
        return web.Response(body=answer, headers=headers)


def _headers(request: web.Request) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in request.raw_headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@asynccontextmanager
async def echo_server(name: str) -> AsyncIterator[EchoServer]:
    """Run one server on a free port meanwhile."""
    server = EchoServer(name)
    async with web_server(server.answer) as server.address:
        yield server
