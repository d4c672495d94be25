"""What a listener expects of clients that nobody knows: limits, and what they may claim.

Source: "Configuring Envoy as an edge proxy" of Envoy's docs; "HTTP connection manager (proto)" and
"Protocol options (proto)" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import (
    v3 as early_header_mutation_v3,
)
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.edge import Edge
from snapshots.resources.encode import pack
from snapshots.resources.parts import seconds, set_header

STREAM_IDLE_S = 300.0
"""For streams without a route yet; each route has the `idle_timeout` of its model."""
HTTP2_CONNECTION_WINDOW_BYTES = 1024 * 1024
HTTP2_STREAM_WINDOW_BYTES = 256 * 1024
HTTP2_MAX_FRAMES_WAITING = 10_000
"""Frames to a client that reads none of them; a tenth of those that answer its own, as of PING."""
SMALLEST_WINDOW_BYTES = 65_535
SERVER_NAME = "modelyard"

NOBODY = core_v3.CidrRange(address_prefix="255.255.255.255", prefix_len=32)
"""Without any range, Envoy takes all private addresses for internal."""
FORWARDING_PREFIX = "x-forwarded-"
OTHER_FORWARDING_HEADERS = ("forwarded", "x-real-ip", "true-client-ip")
"""What says where a request came from, besides those with the prefix."""


def guard(manager: hcm_v3.HttpConnectionManager, gateway: ir.Gateway) -> None:
    """Set in *manager* everything by which it faces clients."""
    _read_paths_as_servers_do(manager)
    _bound(manager, gateway.edge)
    manager.http2_protocol_options = _http2(gateway)
    _believe_nothing(manager, gateway.edge.trusted_hops)


def _read_paths_as_servers_do(manager: hcm_v3.HttpConnectionManager) -> None:
    """Match routes by the very path that a server makes of it, and send no other on."""
    manager.normalize_path = True
    manager.merge_slashes = True
    redirect = hcm_v3.HttpConnectionManagerPathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT
    manager.path_with_escaped_slashes_action = redirect


def _bound(manager: hcm_v3.HttpConnectionManager, edge: Edge) -> None:
    manager.max_request_headers_kb = -(-edge.max_headers_bytes // 1024)
    manager.request_headers_timeout = seconds(edge.request_headers_timeout_s)
    # The clock stops with the request's last byte, so it cuts no answer, however long.
    manager.request_timeout = seconds(edge.request_timeout_s)
    manager.stream_idle_timeout = seconds(STREAM_IDLE_S)
    action = core_v3.HttpProtocolOptionsHeadersWithUnderscoresAction
    manager.common_http_protocol_options = core_v3.HttpProtocolOptions(
        idle_timeout=seconds(edge.connection_idle_timeout_s),
        max_headers_count=edge.max_headers,
        # Many servers read `x_user` as `x-user`: nobody is to name a header that we remove so.
        headers_with_underscores_action=(
            action.DROP_HEADER if edge.drops_underscores else action.REJECT_REQUEST
        ),
    )


def _http2(gateway: ir.Gateway) -> core_v3.Http2ProtocolOptions:
    """Return what bounds the memory of one HTTP/2 connection, as Envoy's edge guide asks.

    Envoy also takes a stream's window for the least that it holds of a body, whatever a virtual
    host says; with its default of 16 MiB, `max_body` would bound nothing below that.
    """
    stream = min(HTTP2_STREAM_WINDOW_BYTES, gateway.extraction.max_body_bytes)
    return core_v3.Http2ProtocolOptions(
        max_concurrent_streams=gateway.edge.max_concurrent_streams,
        initial_stream_window_size=max(SMALLEST_WINDOW_BYTES, stream),
        initial_connection_window_size=HTTP2_CONNECTION_WINDOW_BYTES,
        max_outbound_frames=HTTP2_MAX_FRAMES_WAITING,
        max_outbound_control_frames=HTTP2_MAX_FRAMES_WAITING // 10,
        # A proxy before us puts requests of several clients on one connection: what one of them
        # writes must not end those of the others.
        override_stream_error_on_invalid_http_message=gateway.edge.trusted_hops > 0,
    )


def _believe_nothing(manager: hcm_v3.HttpConnectionManager, trusted_hops: int) -> None:
    """Take the address of a client from its connection, or from the proxies before us; and say so.

    Nobody is internal, be it by an address of the own network: who is may switch retries, time-outs
    and tracing by `x-envoy-*` headers.
    """
    manager.use_remote_address = True
    manager.xff_num_trusted_hops = trusted_hops
    manager.internal_address_config = hcm_v3.HttpConnectionManagerInternalAddressConfig(
        cidr_ranges=[NOBODY]
    )
    # A trusted proxy's id says where the request was before; anyone else's could be another's.
    manager.preserve_external_request_id = trusted_hops > 0
    manager.early_header_mutation_extensions = [_early_mutations(trusted_hops)]
    manager.server_name = SERVER_NAME


def _early_mutations(trusted_hops: int) -> core_v3.TypedExtensionConfig:
    """Remove what no client may say, before the first route match; no model is known yet."""
    mutations = [
        _remove(matcher_v3.StringMatcher(prefix=names.ROUTING_HEADER_PREFIX)),
        mutation_rules_v3.HeaderMutation(append=set_header(names.MODEL_HEADER, names.NO_MODEL)),
        _remove(matcher_v3.StringMatcher(prefix="x-envoy-")),
    ]
    if not trusted_hops:
        mutations.append(_remove(matcher_v3.StringMatcher(prefix=FORWARDING_PREFIX)))
        mutations += [mutation_rules_v3.HeaderMutation(remove=h) for h in OTHER_FORWARDING_HEADERS]
    return core_v3.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=pack(early_header_mutation_v3.HeaderMutation(mutations=mutations)),
    )


def _remove(key: matcher_v3.StringMatcher) -> mutation_rules_v3.HeaderMutation:
    on_match = mutation_rules_v3.HeaderMutationRemoveOnMatch(key_matcher=key)
    return mutation_rules_v3.HeaderMutation(remove_on_match=on_match)
