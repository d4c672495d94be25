"""What the routes of every RouteConfiguration have in common: pools, times, retries, headers.

Source: "HTTP route components (proto)" of Envoy's API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.hash_shares import shares_of_hash
from snapshots.resources.parts import body_limit, cluster_to, literal, seconds, set_header
from snapshots.resources.retries import build_retry_policy
from snapshots.resources.rewrite import rewrite_per_route
from snapshots.resources.sticky import build_hash_policies

RESPONSE_HEADERS = (names.POOL_HEADER, names.ENDPOINT_HEADER, "x-envoy-upstream-service-time")


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
    """Return how a request gets to the pools of *route*; what stands behind them is not seen."""
    mixed = is_mixed(route)
    clusters = [_share(target, response_headers, mixed) for target in route.targets]
    split = route_v3.WeightedCluster(clusters=clusters)
    if route.sticky:
        split.use_hash_policy = True
        weights = shares_of_hash([target.weight for target in route.targets])
        for cluster, weight in zip(clusters, weights, strict=True):
            cluster.weight = weight
    action = build_action_without_pools(route)
    action.weighted_clusters = split
    action.retry_policy = build_retry_policy(route.retries)
    return action


def build_action_without_pools(route: ir.Route) -> route_v3.RouteAction:
    """Return what holds for all requests of *route*, whichever pool they get."""
    return route_v3.RouteAction(
        hash_policy=build_hash_policies(route.sticky) if route.sticky else [],
        timeout=seconds(route.timeout_s),
        idle_timeout=seconds(route.idle_timeout_s),
        request_mirror_policies=[_copies(route.mirror)] if route.mirror else [],
    )


def is_mixed(route: ir.Route) -> bool:
    """Tell whether some pools of *route* rename what others take as it came."""
    return not all(target.rewrite_to for target in (*route.targets, *route.fallback))


def _copies(mirror: ir.Mirror) -> route_v3.RouteActionRequestMirrorPolicy:
    percent = type_v3.FractionalPercent(
        numerator=mirror.percent, denominator=type_v3.FractionalPercentDenominatorType.HUNDRED
    )
    return route_v3.RouteActionRequestMirrorPolicy(
        cluster=names.shadow_name(mirror.pool),
        runtime_fraction=core_v3.RuntimeFractionalPercent(default_value=percent),
        disable_shadow_host_suffix_append=True,
    )


def _share(
    target: ir.Target,
    response_headers: bool,
    mixed: bool,
) -> route_v3.WeightedClusterClusterWeight:
    named = [set_header(names.POOL_HEADER, literal(target.pool))] if response_headers else []
    return route_v3.WeightedClusterClusterWeight(
        name=cluster_to(target),
        weight=target.weight,
        response_headers_to_add=named,
        typed_per_filter_config=rewrite_per_route(target, mixed=mixed),
    )


def base_model_header(route: ir.Route) -> core_v3.HeaderValueOption:
    """Return the header that tells a server which model *route* stands for."""
    return set_header(names.BASE_MODEL_HEADER, literal(route.base_model))
