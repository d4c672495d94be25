"""The companion as a server: gRPC on one address, its health service, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from xds_server.address import Address
from xds_server.ext_proc.connections import Connections
from xds_server.ext_proc.listen import (
    ListenAddress,
    UnixAddress,
    claim,
    explained,
    parse_listen_address,
)
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.web import serving_metrics
from xds_server.ext_proc.wire.limits import MIB, Limits


@dataclass(frozen=True, slots=True)
class CompanionOptions:
    """How a companion serves; `share_port` is for several processes on one TCP port."""

    max_body_bytes: int = 64 * MIB
    grace_s: float = 5.0
    metrics_address: Address | None = None
    share_port: bool = False


async def serve_companion(
    address: str,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
    options: CompanionOptions | None = None,
) -> None:
    """Serve on *address* (`unix:/path` or `host:port`) until *stop* is set or we are cancelled.

    *ready* is called once with the address, in which port 0 is replaced by the port chosen. At the
    end the health service says NOT_SERVING, calls in flight get `grace_s` to finish, and the socket
    is removed. Raises ValueError for a malformed address, ListenError for one that cannot be used.
    """
    options = options or CompanionOptions()
    listen = parse_listen_address(address)
    if not options.share_port:
        claim(listen)
    metrics = Metrics()
    async with (
        serving_metrics(options.metrics_address, metrics),
        _serving(listen, metrics, options) as bound,
    ):
        ready(str(bound))
        await (stop or asyncio.Event()).wait()


@asynccontextmanager
async def _serving(
    address: ListenAddress, metrics: Metrics, options: CompanionOptions
) -> AsyncIterator[ListenAddress]:
    connections = Connections(metrics, Limits(max_body_bytes=options.max_body_bytes))
    with explained(address):
        server, bound = await _listening(connections, address, options)
    try:
        yield bound
    finally:
        server.close()
        if isinstance(address, UnixAddress):
            # At once: a successor may start before we have ended.
            address.path.unlink(missing_ok=True)
        await connections.drain(options.grace_s)


async def _listening(
    connections: Connections, address: ListenAddress, options: CompanionOptions
) -> tuple[asyncio.Server, ListenAddress]:
    """Listen on *address*; return the server, and that address with the port chosen."""
    loop = asyncio.get_running_loop()
    if isinstance(address, UnixAddress):
        return await loop.create_unix_server(connections.protocol, address.path), address
    server = await loop.create_server(
        connections.protocol, address.host, address.port, reuse_port=options.share_port or None
    )
    port = server.sockets[0].getsockname()[1]
    return server, Address(address.host, port)
