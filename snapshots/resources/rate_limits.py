"""Limits of requests per second: of each client, and of each model.

Envoy keeps a bucket of tokens for each configuration of a filter. So the requests that are to share
a bucket must meet in one place:

| whose | where the limit stands | because |
|---|---|---|
| client's | routes without a model | every request matches these first, whatever it asks for |
| model's | the virtual host of its own name | its aliases and paths are handed over to there |

The listener knows only whether there are limits. A bucket is full again once the RouteConfiguration
that holds it has changed.

Source: "Local rate limit" under HTTP filters, and "Lua", of Envoy's docs.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.common.ratelimit import v3 as ratelimit_v3
from envoy_data_plane.envoy.extensions.filters.http.local_ratelimit import v3 as limit_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack, struct
from snapshots.resources.local_replies import LocalReply
from snapshots.resources.parts import MAX_UINT32, seconds, set_header
from snapshots.resources.scripts import TAKES_OVER, hand_over_script

RETRY_AFTER_S = 1
"""By then a bucket has a token again, as the lowest limit is one request a second."""
CLIENT = "client"
HAND_OVER = "hand_over"
"""The name of the script, by which a route asks for it; no other request starts it."""

RATE_LIMITED = (
    LocalReply(
        status=429,
        code="rate_limit_exceeded",
        message="This API key sends more requests than it may. Try again later.",
        kind="requests",
        original_status=429,
        without_model=True,
    ),
    LocalReply(
        status=429,
        code="rate_limit_exceeded",
        message="This model gets more requests than it may. Try again later.",
        kind="requests",
        original_status=429,
    ),
)
"""The first is the client's: it comes before anybody knows the model. Found by their status, as the
filter sets its response flag too late."""

Config = dict[str, Any]
"""Configurations of filters, by the names of these."""


def build_client_limit_filter() -> limit_v3.LocalRateLimit:
    """Return the filter that limits clients; the routes tell it how."""
    return limit_v3.LocalRateLimit(stat_prefix="clients")


def build_model_limit_filter() -> limit_v3.LocalRateLimit:
    """Return the filter that limits models; the routes tell it how."""
    return limit_v3.LocalRateLimit(stat_prefix="models")


def build_hand_over_filter() -> lua_v3.Lua:
    """Return the filter that gives a request to the routes of another name."""
    script = core_v3.DataSource(inline_string=hand_over_script())
    return lua_v3.Lua(source_codes={HAND_OVER: script})


def client_limits(clients: tuple[ir.Client, ...]) -> Config:
    """Return what limits each of *clients* that has a limit."""
    descriptors = [
        ratelimit_v3.LocalRateLimitDescriptor(
            entries=[ratelimit_v3.RateLimitDescriptorEntry(key=CLIENT, value=client.name)],
            token_bucket=_bucket(client.rate_limit),
        )
        for client in clients
        if client.rate_limit
    ]
    if not descriptors:
        return {}
    by_name = route_v3.RateLimitActionRequestHeaders(
        header_name=names.CLIENT_HEADER, descriptor_key=CLIENT
    )
    limit = _enforced("clients")
    limit.rate_limits = [
        route_v3.RateLimit(actions=[route_v3.RateLimitAction(request_headers=by_name)])
    ]
    limit.descriptors = descriptors
    # For clients without a limit.
    limit.token_bucket = _bucket(ir.RateLimit(MAX_UINT32, MAX_UINT32))
    limit.always_consume_default_token_bucket = False
    return {names.CLIENT_LIMIT_FILTER: pack(limit)}


def model_limit(route: ir.Route) -> Config:
    """Return what limits the requests that the virtual host of *route* takes."""
    if not route.rate_limit or route.limited_by:
        return {}
    limit = _enforced("models")
    limit.token_bucket = _bucket(route.rate_limit)
    return {names.MODEL_LIMIT_FILTER: pack(limit)}


def takes_over(route: ir.Route) -> core_v3.Metadata | None:
    """Return the metadata by which *route* gets what comes by aliases and paths of its model."""
    if not model_limit(route):
        return None
    return core_v3.Metadata(filter_metadata={names.HAND_OVER_FILTER: struct({TAKES_OVER: True})})


def without_limit(route: ir.Route) -> Config:
    """Return what lets a refusal of the virtual host of *route* cost no token."""
    if not model_limit(route):
        return {}
    limit = build_model_limit_filter()
    limit.token_bucket = _bucket(ir.RateLimit(MAX_UINT32, MAX_UINT32))
    return {names.MODEL_LIMIT_FILTER: pack(limit)}


def hand_over_alias(route: ir.Route) -> Config:
    """Return what gives the requests of *route* to those of its model, if they share a limit."""
    if not route.rate_limit or not route.limited_by:
        return {}
    return _hand_over(scope=names.scope_key(route.limited_by))


def hand_over_path(path_route: ir.PathRoute) -> Config:
    """Return what gives the requests of *path_route* to those of its model, if that is limited."""
    route = path_route.route
    if not route.rate_limit:
        return {}
    return _hand_over(
        scope=names.scope_key(route.name),
        name=route.name,
        prefix=path_route.prefix,
        replacement=path_route.replacement,
    )


def _hand_over(**context: str) -> Config:
    per_route = lua_v3.LuaPerRoute(name=HAND_OVER, filter_context=struct(context))
    return {names.HAND_OVER_FILTER: pack(per_route)}


def _enforced(stat_prefix: str) -> limit_v3.LocalRateLimit:
    return limit_v3.LocalRateLimit(
        stat_prefix=stat_prefix,
        filter_enabled=_always("rate_limits_enabled"),
        filter_enforced=_always("rate_limits_enforced"),
        response_headers_to_add=[set_header("retry-after", str(RETRY_AFTER_S))],
    )


def _always(key: str) -> core_v3.RuntimeFractionalPercent:
    everything = type_v3.FractionalPercent(numerator=100)
    return core_v3.RuntimeFractionalPercent(
        default_value=everything, runtime_key=f"modelyard.{key}"
    )


def _bucket(limit: ir.RateLimit | None) -> type_v3.TokenBucket | None:
    if limit is None:
        return None
    return type_v3.TokenBucket(
        max_tokens=limit.burst, tokens_per_fill=limit.per_second, fill_interval=seconds(1)
    )
