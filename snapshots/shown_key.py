"""Whose key a request shows: the same that the filter of client keys decides.

Keys go no further than this module.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.lua.v3.lua_pb2 import LuaPerRoute

from snapshots.ir import names
from snapshots.snapshot import NodeSnapshot
from snapshots.type_urls import ROUTE

KEY_HEADERS: Final = ("authorization", "x-api-key")
"""Where a key may stand."""
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)


def shown_key(headers: Mapping[str, str]) -> str | None:
    """Return the key in *headers*, whose names are in lower case; None for none, or for two."""
    bearer = _BEARER.fullmatch(headers.get("authorization", ""))
    second = bearer[1] if bearer else None
    key = headers.get("x-api-key")
    if key and second and key != second:
        return None
    return key or second


def digest_of(key: str) -> str:
    """Return the SHA-256 of *key* as a registry writes it."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def client_of(node: NodeSnapshot, digest: str) -> str | None:
    """Return the client that the Envoys of *node* know by the *digest* of its key."""
    routes = node.types[ROUTE].resources.get(names.NO_MODEL_ROUTES)
    if routes is None:
        return None
    for host in RouteConfiguration.FromString(routes.body).virtual_hosts:
        known = LuaPerRoute()
        if host.typed_per_filter_config[names.KEY_FILTER].Unpack(known):
            context = known.filter_context
            if digest in context and re.fullmatch("[0-9a-f]{64}", digest):
                return str(context[digest])
    return None
