"""One scope and one RouteConfiguration for each routable name, and those of requests without one.

Source: "HTTP route configuration (proto)" and "HTTP scoped routing configuration (proto)".
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import cache

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.refusals import REFUSALS, error_object
from snapshots.resources.encode import pack, struct
from snapshots.resources.http_filters import build_buffer
from snapshots.resources.model_list import build_model_list
from snapshots.resources.parts import body_limit, literal, seconds, set_header

ENVOY_DIRECT_RESPONSE_LIMIT = 4096
"""Bytes of a direct response that Envoy allows unless the RouteConfiguration says more."""
RETRY_ON = "connect-failure,refused-stream,reset-before-request"
"""Failures before a server saw the request: trying another one can do no harm."""
RESPONSE_HEADERS = (names.POOL_HEADER, names.ENDPOINT_HEADER)
MAX_INT64 = 2**63 - 1
METHODS_WITH_BODY = "POST|PUT|PATCH"


def build_scope(name: str, key: str) -> route_v3.ScopedRouteConfiguration:
    """Return the scope that sends requests whose model header is *key* to the routes *name*."""
    fragment = route_v3.ScopedRouteConfigurationKeyFragment(string_key=key)
    return route_v3.ScopedRouteConfiguration(
        name=name,
        route_configuration_name=name,
        key=route_v3.ScopedRouteConfigurationKey(fragments=[fragment]),
    )


def build_model_routes(
    route: ir.Route, extraction: ir.Extraction, *, response_headers: bool
) -> route_v3.RouteConfiguration:
    """Return the routes of one routable name; every path goes to its pools."""
    everything = route_v3.Route(
        match=route_v3.RouteMatch(prefix="/"), route=_action(route, response_headers)
    )
    virtual_host = _virtual_host(extraction, [everything], response_headers=response_headers)
    virtual_host.request_headers_to_add = [_base_model(route)]
    if extraction.mode == "ext_proc" and extraction.on_failure == "native":
        # The companion has named the model: Envoy need not start the script to learn that.
        virtual_host.typed_per_filter_config = {
            names.NATIVE_FILTER: pack(lua_v3.LuaPerRoute(disabled=True))
        }
    return route_v3.RouteConfiguration(
        name=names.route_name(route.name), virtual_hosts=[virtual_host]
    )


def build_no_model_routes(gateway: ir.Gateway) -> route_v3.RouteConfiguration:
    """Return the routes of requests whose model is not known, or not needed."""
    model_list = build_model_list(gateway)
    routes = [
        _too_large_route(gateway.extraction),
        _model_list_route(model_list),
        _unsupported_encoding_route(),
        *(_path_route(path_route, gateway) for path_route in gateway.path_routes),
        _upload_route(),
        _nothing_to_route_by(),
    ]
    virtual_host = _virtual_host(
        gateway.extraction, routes, response_headers=gateway.response_headers
    )
    return route_v3.RouteConfiguration(
        name=names.NO_MODEL_ROUTES,
        virtual_hosts=[virtual_host],
        max_direct_response_body_size_bytes=max(ENVOY_DIRECT_RESPONSE_LIMIT, len(model_list)),
    )


def _virtual_host(
    extraction: ir.Extraction, routes: list[route_v3.Route], *, response_headers: bool
) -> route_v3.VirtualHost:
    endpoint = set_header(names.ENDPOINT_HEADER, "%UPSTREAM_REMOTE_ADDRESS%")
    return route_v3.VirtualHost(
        name="all",
        domains=["*"],
        routes=routes,
        request_body_buffer_limit=body_limit(extraction),
        response_headers_to_add=[endpoint] if response_headers else [],
        # A server may not say what the gateway is not to say.
        response_headers_to_remove=[] if response_headers else [*RESPONSE_HEADERS],
    )


def _action(route: ir.Route, response_headers: bool) -> route_v3.RouteAction:
    mixed = not all(target.rewrite_to for target in route.targets)
    return route_v3.RouteAction(
        weighted_clusters=route_v3.WeightedCluster(
            clusters=[_share(target, response_headers, mixed) for target in route.targets]
        ),
        timeout=seconds(route.timeout_s),
        idle_timeout=seconds(route.idle_timeout_s),
        retry_policy=_retry_policy(),
    )


def _share(
    target: ir.Target,
    response_headers: bool,
    mixed: bool,
) -> route_v3.WeightedClusterClusterWeight:
    named = [set_header(names.POOL_HEADER, literal(target.pool))] if response_headers else []
    return route_v3.WeightedClusterClusterWeight(
        name=names.cluster_name(target.pool),
        weight=target.weight,
        response_headers_to_add=named,
        typed_per_filter_config=_rewrite(target, mixed),
    )


def _rewrite(target: ir.Target, mixed: bool) -> dict[str, Any]:
    if not target.rewrite_to:
        return {}
    context = {"model": _json_escaped(target.rewrite_to)}
    if target.keep:
        context["keep"] = "".join(f"\n{name}" for name in target.keep) + "\n"
    if mixed:
        context["mixed"] = "true"
    return {names.REWRITE_FILTER: pack(lua_v3.LuaPerRoute(filter_context=struct(context)))}


def _json_escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@cache
def _retry_policy() -> route_v3.RetryPolicy:
    other_host = route_v3.RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=pack(previous_hosts_v3.PreviousHostsPredicate()),
    )
    return route_v3.RetryPolicy(
        retry_on=RETRY_ON,
        num_retries=2,
        retry_host_predicate=[other_host],
        host_selection_retry_max_attempts=3,
        # Another pool of a split may be chosen, and the rewrite then does as that pool asks.
        refresh_cluster_on_retry=True,
        retry_back_off=route_v3.RetryPolicyRetryBackOff(
            base_interval=timedelta(milliseconds=25), max_interval=timedelta(milliseconds=250)
        ),
    )


def _base_model(route: ir.Route) -> core_v3.HeaderValueOption:
    return set_header(names.BASE_MODEL_HEADER, literal(route.base_model))


def _path_route(path_route: ir.PathRoute, gateway: ir.Gateway) -> route_v3.Route:
    """Return the route that *path_route* selects; the body is not looked at."""
    action = _action(path_route.route, gateway.response_headers)
    action.regex_rewrite = matcher_v3.RegexMatchAndSubstitute(
        pattern=matcher_v3.RegexMatcher(regex=f"^{re.escape(path_route.prefix)}/*"),
        substitution=f"{path_route.replacement}/",
    )
    return route_v3.Route(
        match=route_v3.RouteMatch(path_separated_prefix=path_route.prefix),
        route=action,
        request_headers_to_add=[
            set_header(names.MODEL_HEADER, literal(path_route.route.name)),
            _base_model(path_route.route),
        ],
        typed_per_filter_config={
            **_without_extraction(),
            names.BUFFER_FILTER: pack(
                buffer_v3.BufferPerRoute(buffer=build_buffer(gateway.extraction))
            ),
        },
    )


def _model_list_route(model_list: str) -> route_v3.Route:
    return route_v3.Route(
        match=route_v3.RouteMatch(path="/v1/models", headers=[_method("GET|HEAD")]),
        direct_response=_direct_response(200, model_list),
        response_headers_to_add=[set_header("content-type", "application/json")],
        typed_per_filter_config=_without_extraction(),
    )


def _too_large_route(extraction: ir.Extraction) -> route_v3.Route:
    """Return what a request matches that says itself that its body is too large.

    Envoy's own limit is a little higher, as a body may grow when it is renamed.
    """
    above = type_v3.Int64Range(start=extraction.max_body_bytes + 1, end=MAX_INT64)
    length = route_v3.HeaderMatcher(name="content-length", range_match=above)
    return route_v3.Route(
        match=route_v3.RouteMatch(prefix="/", headers=[length]),
        direct_response=route_v3.DirectResponseAction(status=413),  # the local replies word it
        typed_per_filter_config=_without_extraction(),
    )


def _unsupported_encoding_route() -> route_v3.Route:
    """Return what a request matches whose body neither extraction nor rewrite could read."""
    supported = matcher_v3.StringMatcher(
        safe_regex=matcher_v3.RegexMatcher(regex="(?i)gzip|identity|")
    )
    name = "content-encoding"
    headers = [
        route_v3.HeaderMatcher(name=name, present_match=True),
        route_v3.HeaderMatcher(name=name, string_match=supported, invert_match=True),
    ]
    error = error_object("unsupported_content_encoding", "unknown to this gateway")
    return _refusing_route(headers, REFUSALS["unsupported_content_encoding"].status, error)


def _upload_route() -> route_v3.Route:
    """Return what a request with a body matches first.

    A real route, as Envoy applies `request_body_buffer_limit` to no other. The extraction then
    names the model, and the request is matched again within the model's own scope.
    """
    return route_v3.Route(
        match=route_v3.RouteMatch(prefix="/", headers=[_method(METHODS_WITH_BODY)]),
        route=route_v3.RouteAction(cluster=names.NO_MODEL_CLUSTER),
    )


def _nothing_to_route_by() -> route_v3.Route:
    error = error_object(
        "missing_model", "this method has no body that could name one, and no path route matches"
    )
    return _refusing_route([], REFUSALS["missing_model"].status, error)


def _refusing_route(
    headers: list[route_v3.HeaderMatcher], status: int, error: object
) -> route_v3.Route:
    """Return the route that answers every request with these *headers* by *error*."""
    return route_v3.Route(
        match=route_v3.RouteMatch(prefix="/", headers=headers),
        direct_response=_direct_response(status, json.dumps(error)),
        response_headers_to_add=[set_header("content-type", "application/json")],
        typed_per_filter_config=_without_extraction(),
    )


def _direct_response(status: int, body: str) -> route_v3.DirectResponseAction:
    return route_v3.DirectResponseAction(status=status, body=core_v3.DataSource(inline_string=body))


def _method(regex: str) -> route_v3.HeaderMatcher:
    return route_v3.HeaderMatcher(
        name=":method",
        string_match=matcher_v3.StringMatcher(safe_regex=matcher_v3.RegexMatcher(regex=regex)),
    )


def _without_extraction() -> dict[str, Any]:
    disabled = pack(route_v3.FilterConfig(disabled=True))
    naming = (names.EXT_PROC_FILTER, names.SECOND_EXT_PROC_FILTER, names.NATIVE_FILTER)
    return dict.fromkeys(naming, disabled)
