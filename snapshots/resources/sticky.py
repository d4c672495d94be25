"""How the same user gets the same pool of a split, in every Envoy and after every restart.

Envoy hashes what tells the user apart, and the hash chooses among the weights of
`snapshots.ir.hash_shares`.

Source: "HTTP route components (proto)", WeightedCluster.use_hash_policy, of Envoy's API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3

from snapshots.ir import model as ir


def build_hash_policies(sticky: ir.Sticky) -> list[route_v3.RouteActionHashPolicy]:
    """Return what to hash; a request without it gets a pool by chance."""
    if sticky.kind in {"header", "client"}:
        header = route_v3.RouteActionHashPolicyHeader(header_name=sticky.name)
        return [route_v3.RouteActionHashPolicy(header=header)]
    cookie = route_v3.RouteActionHashPolicyCookie(name=sticky.name)
    return [route_v3.RouteActionHashPolicy(cookie=cookie)]
