"""How Envoy picks a server of a pool by a key of the request.

The key is the cluster's own affair, not that of the routes that lead to it: so a model may be
sticky to a pool of a split by one key while the pool's servers are chosen by another.

Source: "Load balancing policies: Maglev, Ring hash, Common" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.load_balancing_policies.common import v3 as common_v3
from envoy_data_plane.envoy.extensions.load_balancing_policies.maglev import v3 as maglev_v3
from envoy_data_plane.envoy.extensions.load_balancing_policies.ring_hash import v3 as ring_hash_v3

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.resources.encode import pack

ENVOYS_CHOICES = 2


def build_policy(pool: ir.Pool) -> cluster_v3.LoadBalancingPolicy | None:
    """Return what stands for the policy's plain name where *pool* has a key; None: nothing."""
    key = ir.HashKey("header", names.PREFIX_HEADER) if pool.prefix_bytes else pool.hash_key
    if key is None:
        return None
    hashing = common_v3.ConsistentHashingLbConfig(
        hash_balance_factor=pool.overload_percent, hash_policy=[_hash_policy(key)]
    )
    config = (
        pack(maglev_v3.Maglev(consistent_hashing_lb_config=hashing))
        if pool.load_balancing == "maglev"
        else pack(ring_hash_v3.RingHash(consistent_hashing_lb_config=hashing))
    )
    extension = core_v3.TypedExtensionConfig(
        name=f"envoy.load_balancing_policies.{pool.load_balancing}", typed_config=config
    )
    return cluster_v3.LoadBalancingPolicy(
        policies=[cluster_v3.LoadBalancingPolicyPolicy(typed_extension_config=extension)]
    )


def build_choices(pool: ir.Pool) -> cluster_v3.ClusterLeastRequestLbConfig | None:
    """Return how many servers of *pool* are compared; None: as many as Envoy compares anyway."""
    if pool.choices == ENVOYS_CHOICES:
        return None
    return cluster_v3.ClusterLeastRequestLbConfig(choice_count=pool.choices)


def _hash_policy(key: ir.HashKey) -> route_v3.RouteActionHashPolicy:
    if key.kind == "header":
        header = route_v3.RouteActionHashPolicyHeader(header_name=key.name)
        return route_v3.RouteActionHashPolicy(header=header)
    if key.kind == "cookie":
        cookie = route_v3.RouteActionHashPolicyCookie(name=key.name)
        return route_v3.RouteActionHashPolicy(cookie=cookie)
    connection = route_v3.RouteActionHashPolicyConnectionProperties(source_ip=True)
    return route_v3.RouteActionHashPolicy(connection_properties=connection)
