"""Whose requests a pool takes when it fills up.

| priority | how |
|---|---|
| critical | Envoy's routing priority HIGH, for which a cluster has a circuit breaker of its own |
| standard | the other circuit breaker |
| sheddable | that one, too; but a script looks first how much the pool has (see `fallback`) |

A request that is shed is sent to a cluster which does not exist: nothing else gets the status that
Envoy then answers with, and the local replies word it.

Source: "Circuit breaking" of Envoy's architecture overview, "Lua cluster specifier", and
`RouteAction.cluster_not_found_response_code` of the API reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.local_replies import LocalReply
from snapshots.resources.parts import set_header

STATUS_WITHOUT_CLUSTER = 500
SHED = LocalReply(
    status=429,
    code="shed",
    message="The pool is nearly full, and this model gives way. Try again later.",
    kind="requests",
    flags=("NC",),
    original_status=STATUS_WITHOUT_CLUSTER,
    retry_after=True,
)
SHEDDING = (
    SHED,
    # A thread of Envoy saw the last place as free, and another one took it.
    replace(SHED, flags=("UO",), original_status=0, priority="sheddable"),
)


def mark_priority(route: ir.Route, to_pools: Iterable[route_v3.Route]) -> None:
    """Make *to_pools*, the routes that *route* became, as urgent as that is."""
    if route.priority == "standard":
        return
    for to_pool in to_pools:
        to_pool.request_headers_to_add.append(set_header(names.PRIORITY_HEADER, route.priority))
        if to_pool.route and route.priority == "critical":
            to_pool.route.priority = core_v3.RoutingPriority.HIGH


def refuse_when_shed(action: route_v3.RouteAction) -> None:
    """Let *action* be answered with a status of its own where its script sheds a request."""
    action.cluster_not_found_response_code = (
        route_v3.RouteActionClusterNotFoundResponseCode.INTERNAL_SERVER_ERROR
    )


def critical_breaker(
    pool: ir.Pool, standard: cluster_v3.CircuitBreakersThresholds, unbounded: int
) -> list[cluster_v3.CircuitBreakersThresholds]:
    """Return the breaker of *pool* for critical requests beside the *standard* one, if it has any.

    Where requests go on to another pool, routes see to how much all of them have together.
    """
    if not pool.takes_critical:
        return []
    own = pool.max_critical_requests or unbounded
    return [
        cluster_v3.CircuitBreakersThresholds(
            priority=core_v3.RoutingPriority.HIGH,
            max_connections=standard.max_connections,
            max_pending_requests=standard.max_pending_requests,
            max_requests=own + (standard.max_requests or 0) if pool.falls_back else own,
            max_retries=standard.max_retries,
            retry_budget=standard.retry_budget,
        )
    ]
