"""The upstream filter that writes the name a pool expects into a body, and what tells it the name.

Source: "Lua" of the API reference, and "Upstream HTTP filters".
"""

from __future__ import annotations

import json

from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import Plain, pack, struct
from snapshots.resources.scripts import rewrite_script
from snapshots.resources.typed_struct import TypedStruct

LUA_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def build_rewrite_filter(pool: str, shadow: ir.Target | None) -> hcm_v3.HttpFilter:
    """Return the Lua filter of *pool*, which renames models; the route tells it the name.

    Copies of requests come with the route of their originals. So the filter of a pool that takes
    them, *shadow*, has a name of its own, which no route knows, and its context with it.
    """
    lua: dict[str, Plain] = {
        "default_source_code": {"inline_string": rewrite_script()},
        # All clusters share one Lua state; our types do not know the field yet.
        "shared_vm_id": names.REWRITE_VM,
    }
    if shadow:
        lua["filter_context"] = {**_context(shadow)}
    return hcm_v3.HttpFilter(
        name=names.REWRITE_SHADOW_FILTER if shadow else names.rewrite_filter(pool),
        typed_config=pack(TypedStruct(type_url=LUA_TYPE, value=struct(lua))),
    )


def rewrite_per_route(target: ir.Target, *, mixed: bool) -> dict[str, Any]:
    """Return what a route tells the filter of *target*'s pool.

    *mixed* is whether a retry may go to a pool that takes the body as it came.
    """
    if not target.rewrite_to:
        return {}
    context = _context(target) | ({"mixed": "true"} if mixed else {})
    return {
        names.rewrite_filter(target.pool): pack(lua_v3.LuaPerRoute(filter_context=struct(context)))
    }


def _context(target: ir.Target) -> dict[str, str]:
    context = {"model": _json_escaped(target.rewrite_to)}
    if target.keep:
        context["keep"] = "".join(f"\n{name}" for name in target.keep) + "\n"
    return context


def _json_escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
