"""One listener for each gateway.

Source: "HTTP connection manager (proto)" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.access_logs import build_access_logs
from snapshots.resources.client_parts import CLIENTS_UNKNOWN
from snapshots.resources.edge import guard
from snapshots.resources.encode import pack
from snapshots.resources.http_filters import build_http_filters
from snapshots.resources.local_replies import LocalReply, build_local_replies
from snapshots.resources.parts import ADS, seconds, socket_address
from snapshots.resources.priorities import SHEDDING
from snapshots.resources.rate_limits import RATE_LIMITED
from snapshots.resources.tls import listener_socket

CONNECTION_BUFFER_BYTES = 32 * 1024
"""Envoy's edge guide; bodies that must be whole are bounded by the virtual hosts instead."""
SLOW_READER_S = 300.0
"""How long a connection may have more to read than its buffer takes, and read none of it."""


def build_listener(gateway: ir.Gateway) -> listener_v3.Listener:
    """Return the listener of *gateway*."""
    manager = listener_v3.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=_manager(gateway)
    )
    chain = listener_v3.FilterChain(filters=[manager])
    if gateway.tls:
        chain.transport_socket = listener_socket(gateway.tls)
        # Else a handshake that never ends would be an idle connection.
        chain.transport_socket_connect_timeout = seconds(gateway.edge.request_headers_timeout_s)
    return listener_v3.Listener(
        name=names.listener_name(gateway.name),
        address=socket_address(gateway.host, gateway.port),
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER_BYTES,
        per_connection_buffer_high_watermark_timeout=seconds(SLOW_READER_S),
        filter_chains=[chain],
    )


def _manager(gateway: ir.Gateway) -> Any:
    manager = hcm_v3.HttpConnectionManager(
        stat_prefix=gateway.name,
        scoped_routes=_scoped_routes(),
        http_filters=build_http_filters(gateway),
        access_log=build_access_logs(gateway.access_log),
        local_reply_config=build_local_replies(_further_replies(gateway)),
    )
    guard(manager, gateway)
    return pack(manager)


def _further_replies(gateway: ir.Gateway) -> tuple[LocalReply, ...]:
    replies: tuple[LocalReply, ...] = (CLIENTS_UNKNOWN,) if gateway.clients else ()
    if gateway.limits_clients or gateway.limits_models:
        replies += RATE_LIMITED
    return (*replies, *SHEDDING) if gateway.sheds else replies


def _scoped_routes() -> hcm_v3.ScopedRoutes:
    extractor = hcm_v3.ScopedRoutesScopeKeyBuilderFragmentBuilderHeaderValueExtractor(
        name=names.MODEL_HEADER, index=0
    )
    fragment = hcm_v3.ScopedRoutesScopeKeyBuilderFragmentBuilder(header_value_extractor=extractor)
    return hcm_v3.ScopedRoutes(
        name="models",
        scope_key_builder=hcm_v3.ScopedRoutesScopeKeyBuilder(fragments=[fragment]),
        rds_config_source=ADS,
        scoped_rds=hcm_v3.ScopedRds(scoped_rds_config_source=ADS),
    )
