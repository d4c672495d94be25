"""What the routes of every RouteConfiguration have in common: pools, times, retries, headers.

Source: "HTTP route components (proto)" of Envoy's API reference.
"""

from __future__ import annotations

import json

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack, struct
from snapshots.resources.parts import body_limit, literal, seconds, set_header
from snapshots.resources.retries import build_retry_policy
from snapshots.resources.sticky import build_hash_policies, shares_of_hash

RESPONSE_HEADERS = (names.POOL_HEADER, names.ENDPOINT_HEADER)


def build_virtual_host(
    extraction: ir.Extraction, routes: list[route_v3.Route], *, response_headers: bool
) -> route_v3.VirtualHost:
    """Return the virtual host of all domains that holds *routes*."""
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


def build_action(route: ir.Route, response_headers: bool) -> route_v3.RouteAction:
    """Return how a request gets to the pools of *route*."""
    mixed = not all(target.rewrite_to for target in route.targets)
    clusters = [_share(target, response_headers, mixed) for target in route.targets]
    split = route_v3.WeightedCluster(clusters=clusters)
    if route.sticky:
        split.use_hash_policy = True
        weights = shares_of_hash([target.weight for target in route.targets])
        for cluster, weight in zip(clusters, weights, strict=True):
            cluster.weight = weight
    return route_v3.RouteAction(
        weighted_clusters=split,
        hash_policy=build_hash_policies(route.sticky) if route.sticky else [],
        timeout=seconds(route.timeout_s),
        idle_timeout=seconds(route.idle_timeout_s),
        retry_policy=build_retry_policy(route.retries),
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


def base_model_header(route: ir.Route) -> core_v3.HeaderValueOption:
    """Return the header that tells a server which model *route* stands for."""
    return set_header(names.BASE_MODEL_HEADER, literal(route.base_model))
