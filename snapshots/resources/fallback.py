"""Where a request goes on when its pool fails: it is down or full, or answers that it cannot.

Envoy's `priority_group` gives each try of a request to the next pool of a chain. But Envoy does not
try again what a full pool refuses, and that plugin knows no hash of a sticky model. So where it
matters which pool of a split was chosen, or which has room, the request is matched again with that
in a header:

| route | matches | leads to |
|---|---|---|
| entry | any request of a split | the pool that weights or hash choose: `FIRST_POOL_HEADER` |
| room | those with it, or any if there is no split | the first pool with room: `FREE_POOL_HEADER` |
| chain, for each start | those with the last of these, or any | that pool, then those behind it |

Filters of the listener (see `chosen_pool`) write the headers and have the route chosen again. Entry
and room lead to their pool themselves on a connection whose listener has no such filters yet.

Source: "Priority group cluster specifier", "Lua cluster specifier" and "Header mutation" of Envoy's
docs, and `RetryPolicy.refresh_cluster_on_retry` of the API reference.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.router.cluster_specifiers.lua import v3 as lua_cluster_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.chosen_pool import write_chosen_pool
from snapshots.resources.encode import Plain, pack, struct
from snapshots.resources.parts import cluster_to, set_header
from snapshots.resources.pool_headers import change_headers
from snapshots.resources.priorities import mark_priority, refuse_when_shed
from snapshots.resources.retries import build_retry_policy
from snapshots.resources.rewrite import rewrite_per_route
from snapshots.resources.route_parts import (
    build_action,
    build_action_without_pools,
    is_mixed,
)
from snapshots.resources.scripts import free_pool_script
from snapshots.resources.typed_struct import TypedStruct

PRIORITY_GROUP = "envoy.router.cluster_specifier_plugin.priority_group"
PRIORITY_GROUP_TYPE = (
    "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3."
    "PriorityGroupClusterSpecifier"
)
LUA_SPECIFIER = "envoy.router.cluster_specifier_plugin.lua"

Group = tuple[ir.Target, ...]
"""The pools that may get one try."""


def build_routes(
    route: ir.Route, match: route_v3.RouteMatch, *, response_headers: bool
) -> list[route_v3.Route]:
    """Return the routes that take requests which *match*, without headers, to the pools of *route*.

    More than one where fallbacks need it, in the order in which Envoy is to try them.
    """
    routes = list(_routes(route, match, response_headers))
    mark_priority(route, routes)
    change_headers(route.headers, routes)
    return routes


def _routes(
    route: ir.Route, match: route_v3.RouteMatch, response_headers: bool
) -> Iterator[route_v3.Route]:
    entry = route_v3.Route(match=match, route=build_action(route, response_headers))
    if not route.fallback and not route.sheds:
        yield entry
        return
    chosen = names.FREE_POOL_HEADER if route.bounds else names.FIRST_POOL_HEADER
    for start, groups in _chains(route) if route.fallback else ():
        yield _chain_route(route, groups, _with_header(match, chosen, start), response_headers)
    if route.bounds:
        yield _room_route(route, match, response_headers)
    if route.knows_first_pool:
        entry.typed_per_filter_config |= write_chosen_pool(
            names.FIRST_POOL_FILTER, names.FIRST_POOL_HEADER
        )
        yield entry


def _chains(route: ir.Route) -> Iterator[tuple[str, list[Group]]]:
    """Yield each chain that a request may take, and the cluster it starts with; empty: any."""
    behind: list[Group] = [(target,) for target in route.fallback]
    chosen = [target for target in route.targets if target.weight]
    if not route.bounds and not route.knows_first_pool:
        yield "", [tuple(chosen), *behind]
        return
    for target in chosen:
        yield cluster_to(target), [(target,), *behind]
    if route.bounds:
        for at, target in enumerate(route.fallback):
            yield cluster_to(target), behind[at:]


def _with_header(match: route_v3.RouteMatch, header: str, value: str) -> route_v3.RouteMatch:
    headers = []
    if value:
        exactly = matcher_v3.StringMatcher(exact=value)
        headers.append(route_v3.HeaderMatcher(name=header, string_match=exactly))
    return route_v3.RouteMatch(
        prefix=match.prefix, path_separated_prefix=match.path_separated_prefix, headers=headers
    )


# --- the chain ---


def _chain_route(
    route: ir.Route, groups: list[Group], match: route_v3.RouteMatch, response_headers: bool
) -> route_v3.Route:
    """Return the route that gives a try to each of *groups*, or several in a row."""
    tries = [group for group in groups for _ in range(1 + route.retries.attempts)]
    action = build_action_without_pools(route)
    action.inline_cluster_specifier_plugin = _priority_group(tries)
    action.retry_policy = build_retry_policy(route.retries, len(groups))
    return _through_pools(route, match, action, response_headers)


def _priority_group(tries: list[Group]) -> route_v3.ClusterSpecifierPlugin:
    groups: list[Plain] = [
        {"name": str(number), "clusters": [_member(target) for target in group]}
        for number, group in enumerate(tries, start=1)
    ]
    config = TypedStruct(type_url=PRIORITY_GROUP_TYPE, value=struct({"priority_groups": groups}))
    return _specifier(PRIORITY_GROUP, pack(config))


def _member(target: ir.Target) -> dict[str, Plain]:
    return {"cluster_name": cluster_to(target), "weight": target.weight}


def _specifier(name: str, config: Any) -> route_v3.ClusterSpecifierPlugin:
    extension = core_v3.TypedExtensionConfig(name=name, typed_config=config)
    return route_v3.ClusterSpecifierPlugin(extension=extension)


def _through_pools(
    route: ir.Route,
    match: route_v3.RouteMatch,
    action: route_v3.RouteAction,
    response_headers: bool,
) -> route_v3.Route:
    """Return the route of *action*, which may take any of the pools of *route*."""
    of_pool = f"%METADATA(CLUSTER:{names.POOL_METADATA}:pool)%"
    contexts: dict[str, Any] = {}
    for target in (*route.targets, *route.fallback):
        contexts |= rewrite_per_route(target, mixed=is_mixed(route))
    return route_v3.Route(
        match=match,
        route=action,
        typed_per_filter_config=contexts,
        request_headers_to_remove=_headers_of_choice(route),
        response_headers_to_add=(
            [set_header(names.POOL_HEADER, of_pool)] if response_headers else []
        ),
    )


def _headers_of_choice(route: ir.Route) -> list[str]:
    headers = [names.FIRST_POOL_HEADER] if route.knows_first_pool else []
    return headers + ([names.FREE_POOL_HEADER] if route.bounds else [])


# --- what comes before it ---


def _room_route(
    route: ir.Route, match: route_v3.RouteMatch, response_headers: bool
) -> route_v3.Route:
    """Return the route to the first pool of its chain that has room; the last, without chains."""
    bounds = {bound.pool: bound for bound in route.bounds}
    behind = [_entry(target, bounds) for target in route.fallback]
    chains = {cluster_to(target): [_entry(target, bounds), *behind] for target in route.targets}
    first = cluster_to(route.targets[0])
    last = cluster_to(route.fallback[-1]) if route.fallback else first
    script = free_pool_script(chains, first, shed=names.SHED_CLUSTER if route.sheds else "")
    specifier = lua_cluster_v3.LuaConfig(
        source_code=core_v3.DataSource(inline_string=script), default_cluster=last
    )
    action = build_action_without_pools(route)
    action.inline_cluster_specifier_plugin = _specifier(LUA_SPECIFIER, pack(specifier))
    if route.sheds:
        refuse_when_shed(action)
    if route.knows_first_pool:
        match = _with_header(match, "", "")
        match.headers = [route_v3.HeaderMatcher(name=names.FIRST_POOL_HEADER, present_match=True)]
    found = _through_pools(route, match, action, response_headers)
    if route.fallback:
        found.typed_per_filter_config |= write_chosen_pool(
            names.FREE_POOL_FILTER, names.FREE_POOL_HEADER
        )
    else:
        action.retry_policy = build_retry_policy(route.retries, refresh=False)
    return found


def _entry(target: ir.Target, bounds: dict[str, ir.Bounds]) -> list[str | int]:
    bound = bounds.get(target.pool)
    requests, pending = (bound.max_requests, bound.max_pending) if bound else (None, None)
    return [cluster_to(target), requests or 0, pending or 0]
