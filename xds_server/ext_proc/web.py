"""`GET /metrics`, `/healthz` and `/readyz` of a companion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from xds_server.ext_proc.intake import Intake

_SHUTDOWN_S = 1.0


@asynccontextmanager
async def web_intake(
    exposition: Callable[[], bytes], is_ready: Callable[[], bool]
) -> AsyncIterator[Intake]:
    """Give what serves HTTP to sockets during the block."""
    application = _application(exposition, is_ready)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("aiohttp has set no server up")
        yield Intake(runner.server)
    finally:
        await runner.cleanup()


def _application(exposition: Callable[[], bytes], is_ready: Callable[[], bool]) -> web.Application:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="ready\n")
        return web.Response(text="about to stop\n", status=503)

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    return application
