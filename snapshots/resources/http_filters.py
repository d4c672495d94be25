"""The HTTP filters of a listener, in the order in which a request passes them.

| filter | why there |
|---|---|
| ext_proc | first: it names the model, on which everything behind it depends |
| transform | next: names the model where the companion did not, or is not used |
| buffer | only on path routes, where nothing before it has bounded the body |
| router | last, as Envoy demands |

Source: "External Processing Filter", "Transform", "Buffer" and "Extension with matcher" of the API
reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.common.matching import v3 as matching_v3
from envoy_data_plane.envoy.extensions.filters.common.matcher.action import v3 as action_v3
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer_v3
from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as ext_proc_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.http.transform import v3 as transform_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as type_matcher_v3
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.xds.core import v3 as xds_core_v3
from envoy_data_plane.xds.type.matcher import v3 as matcher_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack
from snapshots.resources.parts import body_limit, seconds, set_header

MESSAGE_TIMEOUT_S = 1.0
"""How long one request waits for the companion; Envoy's default of 200 ms is below what a body of
many MiB takes on a busy machine."""

SEND = ext_proc_v3.ProcessingModeHeaderSendMode.SEND
SKIP = ext_proc_v3.ProcessingModeHeaderSendMode.SKIP


def build_http_filters(extraction: ir.Extraction) -> list[hcm_v3.HttpFilter]:
    """Return the filters for *extraction*, in order."""
    filters = []
    if extraction.mode == "ext_proc":
        filters.append(_filter(names.EXT_PROC_FILTER, pack(_ext_proc(extraction))))
        if extraction.on_failure == "native":
            filters.append(_filter(names.TRANSFORM_FILTER, pack(_transform_where_still_unknown())))
    else:
        filters.append(_filter(names.TRANSFORM_FILTER, pack(_transform())))
    filters.append(_buffer_where_a_route_asks(extraction))
    filters.append(_filter(names.ROUTER_FILTER, pack(router_v3.Router())))
    return filters


def _filter(name: str, config: Any) -> hcm_v3.HttpFilter:
    return hcm_v3.HttpFilter(name=name, typed_config=config)


def _ext_proc(extraction: ir.Extraction) -> ext_proc_v3.ExternalProcessor:
    """Return the companion's filter.

    Headers are sent although only the body matters: with SKIP and BUFFERED, Envoy 1.40 drops the
    header that the answer to the body sets.
    """
    service = core_v3.GrpcServiceEnvoyGrpc(cluster_name=names.EXT_PROC_CLUSTER)
    return ext_proc_v3.ExternalProcessor(
        grpc_service=core_v3.GrpcService(envoy_grpc=service, timeout=seconds(MESSAGE_TIMEOUT_S)),
        failure_mode_allow=extraction.on_failure == "native",
        message_timeout=seconds(MESSAGE_TIMEOUT_S),
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


def _buffer_where_a_route_asks(extraction: ir.Extraction) -> hcm_v3.HttpFilter:
    """Return the filter that refuses large bodies, off until a route switches it on."""
    buffer = _filter(names.BUFFER_FILTER, pack(build_buffer(extraction)))
    buffer.disabled = True
    return buffer


def build_buffer(extraction: ir.Extraction) -> buffer_v3.Buffer:
    """Return the filter that waits for a whole body, as far as it is not too large."""
    return buffer_v3.Buffer(max_request_bytes=body_limit(extraction))


def _transform() -> transform_v3.TransformConfig:
    name_from_body = mutation_rules_v3.HeaderMutation(
        append=set_header(names.MODEL_HEADER, "%REQUEST_BODY(model)%")
    )
    return transform_v3.TransformConfig(
        request_transformation=transform_v3.Transformation(headers_mutations=[name_from_body]),
        clear_route_cache=True,
    )


def _transform_where_still_unknown() -> matching_v3.ExtensionWithMatcher:
    """Return the transform filter, skipped where the companion has named the model."""
    model_header = xds_core_v3.TypedExtensionConfig(
        name="model-header",
        typed_config=pack(
            type_matcher_v3.HttpRequestHeaderMatchInput(header_name=names.MODEL_HEADER)
        ),
    )
    unknown = matcher_v3.MatcherMatcherListPredicate(
        single_predicate=matcher_v3.MatcherMatcherListPredicateSinglePredicate(
            input=model_header, value_match=matcher_v3.StringMatcher(exact=names.NO_MODEL)
        )
    )
    skip = matcher_v3.MatcherOnMatch(
        action=xds_core_v3.TypedExtensionConfig(
            name="skip", typed_config=pack(action_v3.SkipFilter())
        )
    )
    named = matcher_v3.MatcherMatcherListFieldMatcher(
        predicate=matcher_v3.MatcherMatcherListPredicate(not_matcher=unknown), on_match=skip
    )
    return matching_v3.ExtensionWithMatcher(
        xds_matcher=matcher_v3.Matcher(
            matcher_list=matcher_v3.MatcherMatcherList(matchers=[named])
        ),
        extension_config=core_v3.TypedExtensionConfig(
            name=names.TRANSFORM_FILTER, typed_config=pack(_transform())
        ),
    )
