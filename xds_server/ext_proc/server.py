"""The companion as a server: gRPC on one address, its health service, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio  # type: ignore[attr-defined]

from xds_server.address import Address
from xds_server.ext_proc.listen import (
    ListenAddress,
    ListenError,
    UnixAddress,
    claim,
    parse_listen_address,
)
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.service import EXT_PROC_SERVICE, ExternalProcessor
from xds_server.ext_proc.web import serving_metrics

MIB = 1024 * 1024

# Room for what surrounds a body in its message.
_ENVELOPE_BYTES = 64 * 1024


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
    server = grpc.aio.server(options=_channel_options(options))
    server.add_generic_rpc_handlers((ExternalProcessor(metrics).handler(),))
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    for service in ("", EXT_PROC_SERVICE):
        await health.set(service, health_pb2.HealthCheckResponse.SERVING)
    bound = _bind(server, address)
    await server.start()
    try:
        yield bound
    finally:
        await health.enter_graceful_shutdown()
        # This also removes a Unix socket, at once: a successor may start before we have ended.
        await server.stop(options.grace_s)


def _channel_options(options: CompanionOptions) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", options.max_body_bytes + _ENVELOPE_BYTES),
        ("grpc.so_reuseport", int(options.share_port)),
        # An Envoy may keep its connection alive by pings, however idle and as often as it likes.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def _bind(server: grpc.aio.Server, address: ListenAddress) -> ListenAddress:
    """Bind *server* to *address* and return that address with the port chosen."""
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise ListenError(f"cannot listen on {address}: gRPC could not bind it") from error
    return address if isinstance(address, UnixAddress) else Address(address.host, port)
