"""Filters that have a route chosen again, now by the pool that the first choice led to.

A route sees no more of its own choice than a header that a filter writes. They do nothing but for
routes that ask for it.

Source: "Header mutation" and "Lua" under HTTP filters in Envoy's docs.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as mutation_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack
from snapshots.resources.parts import set_header

MATCH_AGAIN = "match_again"
"""The script that has the route chosen again; routes ask for it by this name."""
MATCH_AGAIN_SCRIPT = "function envoy_on_request(handle) handle:clearRouteCache() end\n"
CHOSEN_CLUSTER = "%UPSTREAM_CLUSTER_RAW%"


def build_chosen_pool_filters(gateway: ir.Gateway) -> list[tuple[str, Any]]:
    """Return names and configurations of the filters that routes of *gateway* need, in order."""
    needed = [names.FIRST_POOL_FILTER] if gateway.knows_first_pools else []
    needed += [names.FREE_POOL_FILTER] if gateway.has_bounds else []
    return [part for name in needed for part in _filters(name)]


def _filters(name: str) -> list[tuple[str, Any]]:
    script = core_v3.DataSource(inline_string=MATCH_AGAIN_SCRIPT)
    return [
        (name, pack(mutation_v3.HeaderMutation(mutations=mutation_v3.Mutations()))),
        (_again(name), pack(lua_v3.Lua(source_codes={MATCH_AGAIN: script}))),
    ]


def write_chosen_pool(name: str, header: str) -> dict[str, Any]:
    """Return what has the filters *name* write the chosen cluster into *header*."""
    append = mutation_rules_v3.HeaderMutation(append=set_header(header, CHOSEN_CLUSTER))
    mutations = mutation_v3.Mutations(request_mutations=[append])
    return {
        name: pack(mutation_v3.HeaderMutationPerRoute(mutations=mutations)),
        _again(name): pack(lua_v3.LuaPerRoute(name=MATCH_AGAIN)),
    }


def _again(name: str) -> str:
    return f"{name}.again"
