"""The Lua script that rewrites `model`, run by LuaJIT without an Envoy around it.

The handle is as strict as Envoy's: what it lent before the body was waited for is gone after it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute
from lupa import luajit21

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.routes import build_model_routes

SCRIPT = files("snapshots.resources").joinpath("rewrite_model.lua").read_bytes()

HARNESS = rb"""
local function lent(methods, is_over)
  return setmetatable({}, {__index = function(_, name)
    assert(not is_over(), "used after the body was waited for")
    return methods[name]
  end})
end

function run(bytes, context)
  local waited, headers, changed = false, {}, nil
  local function never() return false end
  local handle = {}
  function handle:filterContext()
    if not context then return nil end
    local function get(_, key) return context[key] end
    return lent({get = get}, function() return waited end)
  end
  function handle:headers()
    local before = waited
    local function replace(_, name, value) headers[name] = value end
    return lent({replace = replace}, function() return waited ~= before end)
  end
  function handle:body()
    waited = true
    if not bytes then return nil end
    return lent({
      length = function() return #bytes end,
      getBytes = function(_, from, length) return bytes:sub(from + 1, from + length) end,
      setBytes = function(_, new) changed = new; return #new end,
    }, never)
  end
  envoy_on_request(handle)
  return changed, headers["content-length"], waited
end
"""


@cache
def _lua() -> Any:
    runtime = luajit21.LuaRuntime(encoding=None)
    runtime.execute(SCRIPT)
    runtime.execute(HARNESS)
    return runtime


def run(
    body: bytes | None, context: dict[str, str] | None
) -> tuple[bytes | None, bytes | None, bool]:
    """Return the new body (None: as it was), the new content-length, and whether it was read."""
    lua = _lua()
    table = None
    if context is not None:
        table = lua.table_from({k.encode(): v.encode() for k, v in context.items()})
    changed, length, was_read = lua.globals().run(body, table)
    return changed, length, was_read


def rewrite(body: bytes, name: str, keep: tuple[str, ...] = ()) -> bytes:
    """Return *body* as the script leaves it for a pool that expects *name*."""
    changed, length, _ = run(body, context_for(name, keep))
    if changed is None:
        assert length is None
        return body
    assert length == str(len(changed)).encode()
    return changed


def context_for(name: str, keep: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the filter context of a route to a pool that expects *name*, as it is generated."""
    target = ir.Target("p", 1, name, keep)
    extraction = ir.Extraction("native", "native", 1)
    route = ir.Route("m", "m", (target,), 0.0, 0.0, ())
    generated = build_model_routes(route, extraction, response_headers=False)
    read = RouteConfiguration.FromString(bytes(generated))
    [share] = read.virtual_hosts[0].routes[0].route.weighted_clusters.clusters
    per_route = LuaPerRoute()
    share.typed_per_filter_config[names.REWRITE_FILTER].Unpack(per_route)
    return dict(per_route.filter_context.items())
