"""What pools show to their servers, and what each must keep from its own for that.

Envoy tries a request again with the headers that the last try left, be it at another pool. So a
pool of a model drops what the other pools of that model set, unless it sets the same itself.
"""

from __future__ import annotations

from dataclasses import replace

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.secrets import Credential, Secret
from snapshots.material import Source
from snapshots.registry import schema


def add_credentials(registry: schema.Registry, pools: dict[str, ir.Pool]) -> None:
    """Tell *pools* what credentials they have, and what headers they and their siblings change."""
    upstream = registry.auth.upstream or {}
    shown = {pool: frozenset({auth.header}) for pool, auth in upstream.items()}
    own = {
        name: changed
        for name, pool in pools.items()
        if (changed := shown.get(name, frozenset()) | pool.headers.request.named | pool.mount.named)
    }
    foreign = _foreign_headers(registry, own) if own else {}
    for name in own.keys() | foreign.keys():
        pools[name] = replace(
            pools[name],
            credential=_credential(name, upstream[name]) if name in upstream else None,
            header_rules=ir.HeaderRules(tuple(sorted(own.get(name, ()))), foreign.get(name, ())),
        )


def _credential(pool: str, auth: schema.UpstreamAuth) -> Credential:
    """Return the credential that *pool* shows to its servers."""
    if auth.value_file is not None:
        source = Source("file", auth.value_file)
    else:
        source = Source("variable", auth.value_env or "")
    secret = Secret(
        names.secret_name("pools", pool, "credential"),
        "credential",
        (source,),
        ("auth", "upstream", pool),
        auth.written_prefix,
    )
    return Credential(auth.header, secret)


def _foreign_headers(
    registry: schema.Registry, own: dict[str, frozenset[str]]
) -> dict[str, tuple[str, ...]]:
    """Return, by pool, what it drops; *own* is what each sets itself."""
    foreign: dict[str, set[str]] = {}
    for model in registry.models.values():
        pools = _pools_of(model)
        headers: set[str] = set().union(*(own.get(pool, ()) for pool in pools))
        for pool in pools:
            foreign.setdefault(pool, set()).update(headers - own.get(pool, frozenset()))
    return {pool: tuple(sorted(headers)) for pool, headers in foreign.items() if headers}


def _pools_of(model: schema.ServedModel) -> set[str]:
    """Return every pool that a request for *model* may be tried at.

    Not the one that gets copies: these are made before the first try.
    """
    first = {model.pool} if model.pool is not None else set(model.split or {})
    return first | {*model.fallback}
