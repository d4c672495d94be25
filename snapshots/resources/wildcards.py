"""Names that no route has, and the wildcards that they match.

Scoped routes know no default: a name without a scope has no route. So a script behind the
extraction finds the longest wildcard of such a name and makes it the scope key; what the client
wrote travels as dynamic metadata meanwhile, and the wildcard's routes write it back for the server.

| who | knows |
|---|---|
| the listener | only that there are wildcards |
| the route of uploads | all names, as metadata that the script looks them up in |
| the routes of exact names | to switch the script off: they cost nothing more |

Source: "Lua" under HTTP filters in Envoy's docs, and "Scoped routing" of "HTTP routing".
"""

from __future__ import annotations

from functools import cache

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import Plain, pack, struct
from snapshots.resources.parts import set_header
from snapshots.resources.scripts import wildcard_script


def build_wildcard_filter() -> lua_v3.Lua:
    """Return the filter that gives a request without a route to a wildcard."""
    return lua_v3.Lua(default_source_code=core_v3.DataSource(inline_string=wildcard_script()))


@cache
def without_wildcards() -> dict[str, Any]:
    """Return the configuration of a route whose requests need no wildcard."""
    return {names.WILDCARD_FILTER: pack(lua_v3.LuaPerRoute(disabled=True))}


def build_known_names(gateway: ir.Gateway) -> core_v3.Metadata:
    """Return, as metadata of a route, the names that *gateway* routes, for the script."""
    wildcards = [route.name for route in gateway.routes if route.is_wildcard]
    lengths = {len(name.removesuffix("*").encode()) for name in wildcards}
    known: dict[str, Plain] = {"lengths": sorted(lengths, reverse=True)}
    for route in gateway.routes:
        known[("*" if route.is_wildcard else "=") + route.name] = True
    return core_v3.Metadata(filter_metadata={names.WILDCARD_FILTER: struct(known)})


def requested_name() -> core_v3.HeaderValueOption:
    """Return the header by which a server sees the name that the client wrote."""
    written = f"%DYNAMIC_METADATA({names.WILDCARD_FILTER}:{names.REQUESTED_NAME})%"
    return set_header(names.MODEL_HEADER, written)
