"""One listener for each gateway.

Source: "HTTP connection manager (proto)" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import (
    v3 as early_header_mutation_v3,
)
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.access_logs import build_access_logs
from snapshots.resources.encode import pack
from snapshots.resources.http_filters import build_http_filters
from snapshots.resources.local_replies import LocalReply, build_local_replies
from snapshots.resources.parts import ADS, seconds, set_header, socket_address
from snapshots.resources.rate_limits import RATE_LIMITED
from snapshots.resources.tls import listener_socket

CONNECTION_BUFFER_BYTES = 32 * 1024
"""Envoy's edge guide; bodies that must be whole are bounded by the virtual hosts instead."""
REQUEST_HEADERS_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 300.0
"""How long a client may take to send a whole request, as Envoy's edge guide has it: 16 MiB need
450 kbit/s. The clock stops with the request's last byte, so it cuts no answer, however long."""
HTTP2_CONNECTION_WINDOW_BYTES = 1024 * 1024
HTTP2_STREAM_WINDOW_BYTES = 256 * 1024
HTTP2_MAX_STREAMS = 100
SMALLEST_WINDOW_BYTES = 65_535


def build_listener(gateway: ir.Gateway) -> listener_v3.Listener:
    """Return the listener of *gateway*."""
    manager = listener_v3.Filter(
        name="envoy.filters.network.http_connection_manager", typed_config=_manager(gateway)
    )
    chain = listener_v3.FilterChain(filters=[manager])
    if gateway.tls:
        chain.transport_socket = listener_socket(gateway.tls)
    return listener_v3.Listener(
        name=names.listener_name(gateway.name),
        address=socket_address(gateway.host, gateway.port),
        per_connection_buffer_limit_bytes=CONNECTION_BUFFER_BYTES,
        filter_chains=[chain],
    )


def _manager(gateway: ir.Gateway) -> Any:
    return pack(
        hcm_v3.HttpConnectionManager(
            stat_prefix=gateway.name,
            scoped_routes=_scoped_routes(),
            http_filters=build_http_filters(gateway),
            access_log=build_access_logs(gateway.access_log),
            local_reply_config=build_local_replies(_replies_of_limits(gateway)),
            early_header_mutation_extensions=[_routing_headers_are_ours()],
            use_remote_address=True,
            normalize_path=True,
            merge_slashes=True,
            request_headers_timeout=seconds(REQUEST_HEADERS_TIMEOUT_S),
            request_timeout=seconds(REQUEST_TIMEOUT_S),
            http2_protocol_options=_http2(gateway.extraction),
        )
    )


def _replies_of_limits(gateway: ir.Gateway) -> tuple[LocalReply, ...]:
    return RATE_LIMITED if gateway.limits_clients or gateway.limits_models else ()


def _http2(extraction: ir.Extraction) -> core_v3.Http2ProtocolOptions:
    """Return what bounds the memory of one HTTP/2 connection, as Envoy's edge guide asks.

    Envoy also takes a stream's window for the least that it holds of a body, whatever a virtual
    host says; with its default of 16 MiB, `max_body` would bound nothing below that.
    """
    stream = min(HTTP2_STREAM_WINDOW_BYTES, extraction.max_body_bytes)
    return core_v3.Http2ProtocolOptions(
        max_concurrent_streams=HTTP2_MAX_STREAMS,
        initial_stream_window_size=max(SMALLEST_WINDOW_BYTES, stream),
        initial_connection_window_size=HTTP2_CONNECTION_WINDOW_BYTES,
    )


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


def _routing_headers_are_ours() -> core_v3.TypedExtensionConfig:
    """Remove a client's routing headers before the first route match; no model is known yet."""
    theirs = matcher_v3.StringMatcher(prefix=names.ROUTING_HEADER_PREFIX)
    mutations = [
        mutation_rules_v3.HeaderMutation(
            remove_on_match=mutation_rules_v3.HeaderMutationRemoveOnMatch(key_matcher=theirs)
        ),
        mutation_rules_v3.HeaderMutation(append=set_header(names.MODEL_HEADER, names.NO_MODEL)),
    ]
    return core_v3.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=pack(early_header_mutation_v3.HeaderMutation(mutations=mutations)),
    )
