"""What keeps clients apart: who they are, told by their keys, and what they may ask for.

| | where | so that |
|---|---|---|
| the filter that asks for keys | listener | it stands before everything that reads a body |
| digests of keys, with names | routes without a model | an edit of clients touches no listener |
| what a client may not use | routes of each model | the name is known there, however it was found |

Envoy's own `api_key_auth` would have the keys themselves in its configuration, for all to see in
`/config_dump`.

Source: "Lua" under HTTP filters, and "HTTP route components (proto)", of Envoy's docs.
"""

from __future__ import annotations

import json
import re

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.http.lua import v3 as lua_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack, struct
from snapshots.resources.local_replies import LocalReply
from snapshots.resources.parts import set_header
from snapshots.resources.scripts import CLIENTS_UNKNOWN_STATUS, KEYS_ARE_CHECKED, key_script

CLIENTS_UNKNOWN = LocalReply(
    status=503,
    code="clients_unavailable",
    message="The gateway does not know its clients yet. Try again later.",
    kind="server_error",
    original_status=CLIENTS_UNKNOWN_STATUS,
    retry_after=True,
)


def build_key_filter() -> lua_v3.Lua:
    """Return the filter that lets clients pass by their keys; the routes tell it which."""
    return lua_v3.Lua(default_source_code=core_v3.DataSource(inline_string=key_script()))


def key_check(clients: tuple[ir.Client, ...]) -> dict[str, Any]:
    """Return what makes the filter ask for the keys of *clients*.

    If there are none, it is off: connections from when there were some have it still, and without
    a word of the routes it lets nobody pass.
    """
    if not clients:
        return {names.KEY_FILTER: pack(lua_v3.LuaPerRoute(disabled=True))}
    context = {client.key_sha256: client.name for client in clients}
    context[KEYS_ARE_CHECKED] = "yes"
    return {names.KEY_FILTER: pack(lua_v3.LuaPerRoute(filter_context=struct(context)))}


def refused_clients(restriction: ir.Restriction) -> list[route_v3.HeaderMatcher]:
    """Return what matches the requests of clients that *restriction* keeps out."""
    is_listed = clients_are(restriction.clients)
    if not restriction.are_allowed:
        return [is_listed]
    is_listed.invert_match = True
    # A header that is not there would match what is inverted.
    return [route_v3.HeaderMatcher(name=names.CLIENT_HEADER, present_match=True), is_listed]


def clients_are(clients: tuple[str, ...]) -> route_v3.HeaderMatcher:
    """Return what matches the requests of *clients*."""
    # Of no other characters than letters, digits, `.`, `_`, `@` and `-`; of nothing: nobody.
    regex = "|".join(re.escape(client) for client in clients) or "[^\\x00-\\x{10FFFF}]"
    return route_v3.HeaderMatcher(
        name=names.CLIENT_HEADER,
        string_match=matcher_v3.StringMatcher(safe_regex=matcher_v3.RegexMatcher(regex=regex)),
    )


def refusal_routes(route: ir.Route, match: route_v3.RouteMatch) -> list[route_v3.Route]:
    """Return what stands before *route* where not every client may use it.

    *match* is what that takes, without headers; it is changed to be that of the refusal.
    """
    if route.restriction is None:
        return []
    match.headers = refused_clients(route.restriction)
    return [
        route_v3.Route(
            match=match,
            direct_response=route_v3.DirectResponseAction(
                status=403, body=core_v3.DataSource(inline_string=_not_allowed(route.name))
            ),
            response_headers_to_add=[set_header("content-type", "application/json")],
        )
    ]


def _not_allowed(model: str) -> str:
    error = {
        "message": f"This API key may not use the model `{model}`.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_allowed",
    }
    return json.dumps({"error": error})
