"""`GET /metrics` and `GET /healthz` of one companion process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from xds_server.address import Address
from xds_server.ext_proc.listen import explained
from xds_server.ext_proc.metrics import Metrics

log = structlog.get_logger()


@asynccontextmanager
async def serving_metrics(address: Address | None, metrics: Metrics) -> AsyncIterator[None]:
    """Serve *metrics* on *address* during the block; the log tells the port that was chosen.

    Raises ListenError if *address* cannot be listened on. Without an address nothing is served.
    """
    if address is None:
        yield
        return
    runner = web.AppRunner(_application(metrics), access_log=None)
    await runner.setup()
    try:
        with explained(address):
            await web.TCPSite(runner, address.host, address.port).start()
        port = runner.addresses[0][1]
        log.info("ext_proc.metrics.ready", address=str(Address(address.host, port)))
        yield
    finally:
        await runner.cleanup()


def _application(metrics: Metrics) -> web.Application:
    async def exposition(_request: web.Request) -> web.Response:
        return web.Response(
            body=metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST}
        )

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    application = web.Application()
    application.router.add_get("/metrics", exposition)
    application.router.add_get("/healthz", healthz)
    return application
