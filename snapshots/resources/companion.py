"""How Envoy asks the companion for a model's name, and what it does where it gets no answer.

A companion that ends takes the requests that it was asked about with it. Three things stand between
that and a client, each for a later moment of a request:

| the companion goes | what happens |
|---|---|
| before it was asked | its cluster, in the bootstrap, has taken it out of use |
| before it has answered anything | Envoy's gRPC client asks again, by `retry_policy` |
| while it has the body | `on_failure: native`: the next filter reads the name itself; |
| | `on_failure: reject`: the next filter asks once more, whichever companion is left |

Source: "External Processing Filter" and "gRPC services" of the API reference, "Match delegate".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.common.matching import v3 as matching_v3
from envoy_data_plane.envoy.extensions.filters.common.matcher.action import v3 as action_v3
from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as ext_proc_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as type_matcher_v3
from envoy_data_plane.xds.core import v3 as xds_core_v3
from envoy_data_plane.xds.type.matcher import v3 as matcher_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack
from snapshots.resources.parts import literal, seconds

MESSAGE_TIMEOUT_S = 1.0
"""How long one request waits for the companion; Envoy's default of 200 ms is below what a body of
many MiB takes on a busy machine."""

FORWARDED_HEADERS = ("content-type", "content-encoding")
"""What of a request's headers the companion needs; pseudo-headers are not sent either."""

RETRIES = 3
RETRY_AFTER = core_v3.BackoffStrategy(
    base_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=100)
)
"""Enough for Envoy to have taken a dead companion out of use, which takes it some 10 ms, and few
enough for a request not to wait long where there is no other."""

SEND = ext_proc_v3.ProcessingModeHeaderSendMode.SEND
SKIP = ext_proc_v3.ProcessingModeHeaderSendMode.SKIP


def build_companion_filters(gateway: ir.Gateway) -> list[hcm_v3.HttpFilter]:
    """Return the filters that ask a companion: one, or with `on_failure: reject` two."""
    if gateway.extraction.on_failure == "native":
        asks = _build_ext_proc(gateway, may_fail=True)
        return [hcm_v3.HttpFilter(name=names.EXT_PROC_FILTER, typed_config=pack(asks))]
    first = _build_ext_proc(gateway, may_fail=True)
    second = _build_ext_proc(gateway, may_fail=False)
    return [
        hcm_v3.HttpFilter(name=names.EXT_PROC_FILTER, typed_config=pack(first)),
        hcm_v3.HttpFilter(
            name=names.SECOND_EXT_PROC_FILTER, typed_config=pack(_where_unnamed(second))
        ),
    ]


def _build_ext_proc(gateway: ir.Gateway, *, may_fail: bool) -> ext_proc_v3.ExternalProcessor:
    """Return what asks a companion; a request that gets no answer goes on if it *may_fail*.

    Headers are sent although only the body matters: with SKIP and BUFFERED, Envoy 1.40 drops the
    header that the answer to the body sets.
    """
    return ext_proc_v3.ExternalProcessor(
        grpc_service=_grpc_service(gateway),
        failure_mode_allow=may_fail,
        message_timeout=seconds(MESSAGE_TIMEOUT_S),
        forward_rules=ext_proc_v3.HeaderForwardingRules(
            allowed_headers=type_matcher_v3.ListStringMatcher(
                patterns=[type_matcher_v3.StringMatcher(exact=name) for name in FORWARDED_HEADERS]
            )
        ),
        status_on_error=type_v3.HttpStatus(code=type_v3.StatusCode.ServiceUnavailable),
        processing_mode=ext_proc_v3.ProcessingMode(
            request_header_mode=SEND,
            response_header_mode=SKIP,
            request_body_mode=ext_proc_v3.ProcessingModeBodySendMode.BUFFERED,
            response_body_mode=ext_proc_v3.ProcessingModeBodySendMode.NONE,
            request_trailer_mode=SKIP,
            response_trailer_mode=SKIP,
        ),
    )


def _grpc_service(gateway: ir.Gateway) -> core_v3.GrpcService:
    return core_v3.GrpcService(
        envoy_grpc=core_v3.GrpcServiceEnvoyGrpc(cluster_name=names.EXT_PROC_CLUSTER),
        timeout=seconds(MESSAGE_TIMEOUT_S),
        retry_policy=core_v3.RetryPolicy(
            retry_on="connect-failure,refused-stream,reset,unavailable",
            num_retries=RETRIES,
            retry_back_off=RETRY_AFTER,
        ),
        initial_metadata=[
            # Values are formatted by Envoy, and are ASCII in gRPC: `%` comes twice in them.
            core_v3.HeaderValue(key=key, value=literal(quote(value)))
            for key, value in orders(gateway)
        ],
    )


def orders(gateway: ir.Gateway) -> Iterator[tuple[str, str]]:
    """Yield what the companion is told with each request, as names and values of metadata.

    The same for every request of a listener, so that it costs a byte each once HTTP/2 knows it.
    """
    if gateway.default_model:
        yield names.DEFAULT_MODEL_METADATA, gateway.default_model
    if gateway.prefix_bytes:
        yield names.PREFIX_BYTES_METADATA, str(gateway.prefix_bytes)


def _where_unnamed(asks: ext_proc_v3.ExternalProcessor) -> matching_v3.ExtensionWithMatcher:
    """Return *asks*, skipped by requests whose model is named by now."""
    model_header = type_matcher_v3.HttpRequestHeaderMatchInput(header_name=names.MODEL_HEADER)
    unnamed = matcher_v3.MatcherMatcherListPredicateSinglePredicate(
        input=xds_core_v3.TypedExtensionConfig(
            name="model-header", typed_config=pack(model_header)
        ),
        value_match=matcher_v3.StringMatcher(exact=names.NO_MODEL),
    )
    skip = xds_core_v3.TypedExtensionConfig(name="skip", typed_config=pack(action_v3.SkipFilter()))
    skip_named = matcher_v3.MatcherMatcherListFieldMatcher(
        predicate=matcher_v3.MatcherMatcherListPredicate(
            not_matcher=matcher_v3.MatcherMatcherListPredicate(single_predicate=unnamed)
        ),
        on_match=matcher_v3.MatcherOnMatch(action=skip),
    )
    return matching_v3.ExtensionWithMatcher(
        xds_matcher=matcher_v3.Matcher(
            matcher_list=matcher_v3.MatcherMatcherList(matchers=[skip_named])
        ),
        extension_config=core_v3.TypedExtensionConfig(
            name=names.SECOND_EXT_PROC_FILTER, typed_config=pack(asks)
        ),
    )
