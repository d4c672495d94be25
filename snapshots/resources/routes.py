"""One scope and one RouteConfiguration for each routable name.

Source: "HTTP route configuration (proto)" and "HTTP scoped routing configuration (proto)".
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.client_parts import refusal_routes
from snapshots.resources.encode import pack
from snapshots.resources.fallback import build_routes
from snapshots.resources.rate_limits import (
    hand_over_alias,
    model_limit,
    takes_over,
    without_limit,
)
from snapshots.resources.route_parts import base_model_header, build_virtual_host
from snapshots.resources.wildcards import requested_name, without_wildcards


def build_scope(name: str, key: str) -> route_v3.ScopedRouteConfiguration:
    """Return the scope that sends requests whose model header is *key* to the routes *name*."""
    fragment = route_v3.ScopedRouteConfigurationKeyFragment(string_key=key)
    return route_v3.ScopedRouteConfiguration(
        name=name,
        route_configuration_name=name,
        key=route_v3.ScopedRouteConfigurationKey(fragments=[fragment]),
    )


def build_model_routes(
    route: ir.Route,
    extraction: ir.Extraction,
    *,
    response_headers: bool,
    has_wildcards: bool = False,
) -> route_v3.RouteConfiguration:
    """Return the routes of one routable name; every path goes to its pools.

    *has_wildcards* tells whether the listener looks for wildcards.
    """
    to_pools = build_routes(
        route, route_v3.RouteMatch(prefix="/"), response_headers=response_headers
    )
    for to_pool in to_pools:
        to_pool.metadata = takes_over(route)
        to_pool.typed_per_filter_config |= hand_over_alias(route)
    refusals = refusal_routes(route, route_v3.RouteMatch(prefix="/"))
    for refusal in refusals:
        refusal.typed_per_filter_config = without_limit(route)
    virtual_host = build_virtual_host(
        extraction,
        [*refusals, *to_pools],
        response_headers=response_headers,
    )
    virtual_host.request_headers_to_add = [base_model_header(route)]
    if extraction.mode == "ext_proc" and extraction.on_failure == "native":
        # The companion has named the model: Envoy need not start the script to learn that.
        virtual_host.typed_per_filter_config = {
            names.NATIVE_FILTER: pack(lua_v3.LuaPerRoute(disabled=True))
        }
    if has_wildcards:
        virtual_host.typed_per_filter_config.update(without_wildcards())
    virtual_host.typed_per_filter_config.update(model_limit(route))
    if route.is_wildcard or route.rate_limit:
        virtual_host.request_headers_to_add.append(requested_name())
    return route_v3.RouteConfiguration(
        name=names.route_name(route.name), virtual_hosts=[virtual_host]
    )
