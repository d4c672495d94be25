"""The routes of requests whose model is not known, or not needed.

Source: "HTTP route components (proto)" of Envoy's API reference.
"""

from __future__ import annotations

import json
import re

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.buffer import v3 as buffer_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.refusals import REFUSALS, error_object
from snapshots.resources.client_parts import clients_are, key_check, refusal_routes
from snapshots.resources.encode import pack
from snapshots.resources.fallback import build_routes
from snapshots.resources.http_filters import build_buffer
from snapshots.resources.model_list import build_model_list, model_lists
from snapshots.resources.parts import literal, set_header
from snapshots.resources.rate_limits import client_limits, hand_over_path
from snapshots.resources.route_parts import base_model_header, build_virtual_host
from snapshots.resources.wildcards import build_known_names

ENVOY_DIRECT_RESPONSE_LIMIT = 4096
"""Bytes of a direct response that Envoy allows unless the RouteConfiguration says more."""
MAX_INT64 = 2**63 - 1
MALFORMED = {
    "error": {
        "message": "A request names one host, and its method is not TRACE.",
        "type": "invalid_request_error",
        "param": None,
        "code": "malformed_request",
    }
}
METHODS_WITH_BODY = "POST|PUT|PATCH"


def build_no_model_routes(gateway: ir.Gateway) -> route_v3.RouteConfiguration:
    """Return the routes of requests whose model is not known, or not needed."""
    model_list = build_model_list(gateway.routes)
    routes = [
        *_malformed_routes(),
        _too_large_route(gateway.extraction),
        *(_model_list_route(listed, [clients_are(c)]) for c, listed in model_lists(gateway)),
        _model_list_route(model_list, []),
        _unsupported_encoding_route(),
        *(r for path_route in gateway.path_routes for r in _path_routes(path_route, gateway)),
        _upload_route(gateway),
        _nothing_to_route_by(),
    ]
    virtual_host = build_virtual_host(
        gateway.extraction, routes, response_headers=gateway.response_headers
    )
    virtual_host.typed_per_filter_config |= key_check(gateway.clients)
    virtual_host.typed_per_filter_config |= client_limits(gateway.clients)
    return route_v3.RouteConfiguration(
        name=names.NO_MODEL_ROUTES,
        virtual_hosts=[virtual_host],
        max_direct_response_body_size_bytes=max(ENVOY_DIRECT_RESPONSE_LIMIT, len(model_list)),
    )


def _path_routes(path_route: ir.PathRoute, gateway: ir.Gateway) -> list[route_v3.Route]:
    """Return what *path_route* selects: its route, and before it whoever may not use that."""
    prefix = route_v3.RouteMatch(path_separated_prefix=path_route.prefix)
    refusals = refusal_routes(path_route.route, prefix)
    for refusal in refusals:
        refusal.typed_per_filter_config = _without_extraction()
    to_pools = build_routes(
        path_route.route,
        route_v3.RouteMatch(path_separated_prefix=path_route.prefix),
        response_headers=gateway.response_headers,
    )
    for route in to_pools:
        _select_by_path(route, path_route, gateway.extraction)
    return [*refusals, *to_pools]


def _select_by_path(
    route: route_v3.Route, path_route: ir.PathRoute, extraction: ir.Extraction
) -> None:
    """Make *route* that of requests whose body is not looked at."""
    if route.route:
        route.route.regex_rewrite = matcher_v3.RegexMatchAndSubstitute(
            pattern=matcher_v3.RegexMatcher(regex=f"^{re.escape(path_route.prefix)}/*"),
            substitution=f"{path_route.replacement}/",
        )
    route.request_headers_to_add += [
        set_header(names.MODEL_HEADER, literal(path_route.route.name)),
        base_model_header(path_route.route),
    ]
    buffer = buffer_v3.BufferPerRoute(buffer=build_buffer(extraction))
    route.typed_per_filter_config |= {
        **_without_extraction(),
        **hand_over_path(path_route),
        names.BUFFER_FILTER: pack(buffer),
    }


def _model_list_route(model_list: str, headers: list[route_v3.HeaderMatcher]) -> route_v3.Route:
    return route_v3.Route(
        match=route_v3.RouteMatch(path="/v1/models", headers=[_method("GET|HEAD"), *headers]),
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


def _malformed_routes() -> list[route_v3.Route]:
    """Return what a request matches that Envoy takes, and that no server should have to judge.

    CONNECT asks for a tunnel, which Envoy refuses once a route takes it; it has no body that ends,
    which the extraction would wait for. TRACE asks a server to tell what it was sent, with the
    credentials that a gateway adds. With two `host` headers, Envoy sends both in one.
    """
    tunnel = _refusing_route([], 405, MALFORMED)
    tunnel.match = route_v3.RouteMatch(connect_matcher=route_v3.RouteMatchConnectMatcher())
    several = matcher_v3.StringMatcher(contains=",")
    hosts = route_v3.HeaderMatcher(name=":authority", string_match=several)
    return [
        tunnel,
        _refusing_route([_method("TRACE")], 405, MALFORMED),
        _refusing_route([hosts], 400, MALFORMED),
    ]


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


def _upload_route(gateway: ir.Gateway) -> route_v3.Route:
    """Return what a request with a body matches first, which also knows all names if need be.

    A real route, as Envoy applies `request_body_buffer_limit` to no other. The extraction then
    names the model, and the request is matched again within the model's own scope.
    """
    return route_v3.Route(
        match=route_v3.RouteMatch(prefix="/", headers=[_method(METHODS_WITH_BODY)]),
        route=route_v3.RouteAction(cluster=names.NO_MODEL_CLUSTER),
        metadata=build_known_names(gateway) if gateway.has_wildcards else None,
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
