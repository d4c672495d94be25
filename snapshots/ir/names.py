"""Every name that Modelyard gives to something in Envoy; nothing else mints one.

A name is a contract between the resource that carries it and those that refer to it.
"""

from __future__ import annotations

from typing import Final

from snapshots.registry import client_keys, fields
from snapshots.registry import names as registry_names

MODEL_HEADER: Final = "x-gateway-model-name"
"""The name that the client wrote in `model`; the scope key of a request."""
BASE_MODEL_HEADER: Final = "x-gateway-base-model-name"
POOL_HEADER: Final = "x-gateway-pool"
ENDPOINT_HEADER: Final = "x-gateway-endpoint"
FIRST_POOL_HEADER: Final = "x-gateway-first-pool"
"""The cluster that the split of a model chose, where fallbacks stand behind it; no server sees it.
Likewise the next."""
FREE_POOL_HEADER: Final = "x-gateway-free-pool"
"""The first cluster of such a chain that has room."""
PRIORITY_HEADER: Final = "x-gateway-priority"
"""How urgent a request is, where that is not the usual; servers see it, too."""
CLIENT_HEADER: Final = "x-gateway-client"
"""The name of the client whose key a request showed; servers see it, too."""
ROUTING_HEADER_PREFIX: Final = "x-gateway-"
"""Request headers with this prefix are ours alone: a client's copies are removed."""

DEFAULT_MODEL_METADATA: Final = "modelyard-default-model"
"""By this the companion is told, percent-encoded, whose requests those without a model are."""

CLIENT_PATH_HEADER: Final = "x-gateway-client-path"
"""The path before a pool changed it; another pool of the model may need it. Likewise the next."""
CLIENT_HOST_HEADER: Final = "x-gateway-client-host"

PREFIX_HEADER: Final = "x-gateway-prompt-prefix"
"""The hash of the front of a prompt, where a pool asks for it."""
PREFIX_BYTES_METADATA: Final = "modelyard-prompt-prefix-bytes"
"""By this the companion is told how much of the front to hash."""

NO_MODEL: Final = "-"
"""Value of the model header while no model is known; no registry name may be this."""

MAX_NAME_BYTES: Final = registry_names.MAX_NAME_BYTES
"""Of a model's name in UTF-8."""
MAX_KEY_CHARACTERS: Final = client_keys.MAX_KEY_CHARACTERS
"""Of a client's key; a longer one is not looked at."""
STDOUT: Final = fields.STDOUT
"""As the place of an access log: Envoy's standard output."""
WHITE_SPACE: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What `str.isspace` takes for white space; a name of nothing else is blank."""

NO_MODEL_ROUTES: Final = "no-model"
"""The scope and RouteConfiguration of requests without a model: paths, lists, uploads."""
NO_MODEL_CLUSTER: Final = "no-model"
"""A cluster without servers: the first match of an upload, where its body limit applies."""

SHED_CLUSTER: Final = "modelyard-shed"
"""A cluster that does not exist: requests that are shed are given to it."""

XDS_CLUSTER: Final = "modelyard-xds"
EXT_PROC_CLUSTER: Final = "modelyard-ext-proc"
"""Both are static clusters of the bootstrap."""

KEY_FILTER: Final = "modelyard.client_keys"
"""The Lua filter that knows clients by their keys; the routes without a model tell it of them."""
GUNZIP_FILTER: Final = "envoy.filters.http.decompressor"
EXT_PROC_FILTER: Final = "envoy.filters.http.ext_proc"
SECOND_EXT_PROC_FILTER: Final = "modelyard.ask_again"
"""Asks a companion once more, where the first got no answer."""
NATIVE_FILTER: Final = "modelyard.extract_model"
"""The Lua filter that reads the model's name where the companion did not."""
CLIENT_LIMIT_FILTER: Final = "modelyard.client_limits"
"""Counts the requests of each client; the routes without a model tell it the limits."""
MODEL_LIMIT_FILTER: Final = "modelyard.model_limit"
"""Counts the requests of a model; its routes tell it the limit."""
HAND_OVER_FILTER: Final = "modelyard.hand_over"
"""The Lua filter that gives requests by an alias or path to the routes of their model."""
BUFFER_FILTER: Final = "envoy.filters.http.buffer"
ROUTER_FILTER: Final = "envoy.filters.http.router"
REWRITE_VM: Final = "modelyard.rewrite_model"
"""The Lua state of the upstream filters that rewrite `model`."""
REWRITE_SHADOW_FILTER: Final = "modelyard.rewrite_shadow"
"""The same of a pool that takes copies; its context is its own, whatever the route says."""
FIRST_POOL_FILTER: Final = "modelyard.first_pool"
"""Writes down which cluster the route chose, for a route that looks at it. Likewise the next."""
FREE_POOL_FILTER: Final = "modelyard.free_pool"
WILDCARD_FILTER: Final = "modelyard.wildcards"
"""The Lua filter that finds the wildcard of a name that no route has; also where in a route's
metadata the names stand, and in a request's dynamic metadata what the client wrote."""
REQUESTED_NAME: Final = "model"
"""The key of the latter."""
POOL_METADATA: Final = "modelyard"
"""Where in a cluster's metadata its pool is named."""
FOREIGN_HEADERS_FILTER: Final = "modelyard.foreign_headers"
"""The upstream filter that drops what other pools set."""
CREDENTIAL_FILTER: Final = "modelyard.credential"
"""The upstream filter that writes a pool's credential."""
POOL_HEADERS_FILTER: Final = "modelyard.headers"
"""The upstream filter that changes headers for a pool."""
MOUNT_FILTER: Final = "modelyard.mount"
"""The upstream filter that changes path and host for a pool, or changes them back; also its Lua
state."""
UPSTREAM_CODEC_FILTER: Final = "envoy.filters.http.upstream_codec"


def cluster_name(pool: str, own: tuple[str, ...] = (), foreign: tuple[str, ...] = ()) -> str:
    """Return the name of the cluster, and of the load assignment, of *pool*.

    It tells what headers the pool sets for its *own*, and which *foreign* ones it drops: so an edit
    of these makes other clusters, and routes leave all the old ones for the new ones at once.
    """
    signs = [f"+{header}" for header in own] + [f"-{header}" for header in foreign]
    return f"pool{''.join(signs)}/{pool}"


def pool_stats(pool: str) -> str:
    """Return under which name statistics and access logs tell of *pool*."""
    return f"pool/{pool}"


def rewrite_filter(pool: str) -> str:
    """Return the name of the upstream Lua filter of *pool*.

    Routes address its context by this name: one route may lead to several pools.
    """
    return f"{REWRITE_VM}/{pool}"


def shadow_name(pool: str) -> str:
    """Return the name of the cluster, and of the load assignment, of *pool* for copies."""
    return f"shadow/{pool}"


def route_name(routable: str) -> str:
    """Return the name of the scope, and of the RouteConfiguration, of one routable name."""
    return f"model/{routable}"


def is_wildcard(routable: str) -> bool:
    """Tell whether *routable* stands for all names that begin like it."""
    return registry_names.is_wildcard(routable)


def scope_key(routable: str) -> str:
    """Return the value of the model header by which requests get to the routes of *routable*.

    For a wildcard one that no client can ask for, as no name begins with a blank.
    """
    return f" {routable}" if is_wildcard(routable) else routable


def listener_name(gateway: str) -> str:
    """Return the name of the listener of *gateway*."""
    return f"gateway/{gateway}"


SYSTEM_AUTHORITIES: Final = "system/authorities"
"""The secret with what the machine of the control plane trusts."""


def secret_name(section: str, owner: str, field: str) -> str:
    """Return the name of the secret that *field* of the entry *owner* of *section* asks for."""
    return f"{section}/{owner}/{field}"
