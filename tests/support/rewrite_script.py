"""The Lua script that rewrites `model`, run by LuaJIT without an Envoy around it."""

from __future__ import annotations

from functools import cache

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.routes import build_model_routes
from snapshots.resources.scripts import rewrite_script
from tests.support.lua_filter import LuaFilter, Outcome


@cache
def _filter() -> LuaFilter:
    return LuaFilter(rewrite_script())


def run(
    body: bytes | None, context: dict[str, str] | None, content_type: str = "application/json"
) -> Outcome:
    """Let a request with *body* pass whose route has *context*."""
    return _filter().run(body, {"content-type": content_type}, context)


def rewrite(
    body: bytes, name: str, keep: tuple[str, ...] = (), content_type: str = "application/json"
) -> bytes:
    """Return *body* as the script leaves it for a pool that expects *name*."""
    outcome = run(body, context_for(name, keep), content_type)
    after = body if outcome.body is None else outcome.body
    assert outcome.headers == {"content-length": str(len(after)).encode()}
    return after


def context_for(
    name: str, keep: tuple[str, ...] = (), other: tuple[ir.Target, ...] = ()
) -> dict[str, str]:
    """Return the filter context of a route to a pool that expects *name*, as it is generated."""
    targets = (ir.Target("p", 1, name, keep), *other)
    extraction = ir.Extraction("native", "native", 1)
    route = ir.Route("m", "m", targets, 0.0, 0.0, ())
    generated = build_model_routes(route, extraction, response_headers=False)
    read = RouteConfiguration.FromString(bytes(generated))
    share = read.virtual_hosts[0].routes[0].route.weighted_clusters.clusters[0]
    per_route = LuaPerRoute()
    share.typed_per_filter_config[names.rewrite_filter("p")].Unpack(per_route)
    return dict(per_route.filter_context.items())
