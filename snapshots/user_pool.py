"""Which pool of a split a user gets, where a header or cookie tells users apart.

Envoy's hash of a value is xxHash64 with seed 0, of its bytes alone.

Source: "HTTP route components (proto)", RouteAction.HashPolicy and WeightedCluster.use_hash_policy,
of Envoy's API reference; read at Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import xxhash

from snapshots.ir import model as ir
from snapshots.ir.hash_shares import PARTS, shares_of_hash


def user_of(sticky: ir.Sticky, headers: Mapping[str, str]) -> str | None:
    """Return what tells the user of a request apart; None if it shows nothing, so chance decides.

    *headers* have names in lower case.
    """
    if sticky.kind == "header":
        return headers.get(sticky.name)
    for pair in headers.get("cookie", "").split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator and name == sticky.name:
            is_quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
            return (value[1:-1] if is_quoted else value) or None
    return None


def pool_of_user(targets: tuple[ir.Target, ...], user: str) -> str:
    """Return the pool among *targets*, of a split that is sticky, that *user* always gets."""
    point = xxhash.xxh64_intdigest(user.encode(errors="surrogateescape"), seed=0) % PARTS
    borders = accumulate(shares_of_hash([target.weight for target in targets]))
    pools = (t.pool for t, border in zip(targets, borders, strict=True) if point < border)
    return next(pools)
