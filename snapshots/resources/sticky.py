"""How the same user gets the same pool of a split, in every Envoy and after every restart.

Envoy hashes what tells the user apart, and takes the remainder by the sum of the weights: the pools
lie one behind the other, each as long as its weight. So the sum is always the same here, that a
changed weight moves only the borders between the pools.

Source: "HTTP route components (proto)", WeightedCluster.use_hash_policy, of Envoy's API reference.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.route import v3 as route_v3

from snapshots.ir import model as ir

PARTS = 1_000_000
"""Sum of the weights of every split that is sticky."""


def shares_of_hash(weights: Sequence[int]) -> list[int]:
    """Return *weights* in the same proportions, with the sum PARTS.

    The borders between the pools are rounded, not the shares: a border stays where it was as long
    as the share of all that lies before it does.
    """
    total, before, border = sum(weights), 0, 0
    shares = []
    for weight in weights:
        before += weight
        reached = (before * PARTS + total // 2) // total
        shares.append(reached - border)
        border = reached
    return shares


def build_hash_policies(sticky: ir.Sticky) -> list[route_v3.RouteActionHashPolicy]:
    """Return what to hash; a request without it gets a pool by chance."""
    if sticky.kind in {"header", "client"}:
        header = route_v3.RouteActionHashPolicyHeader(header_name=sticky.name)
        return [route_v3.RouteActionHashPolicy(header=header)]
    cookie = route_v3.RouteActionHashPolicyCookie(name=sticky.name)
    return [route_v3.RouteActionHashPolicy(cookie=cookie)]
