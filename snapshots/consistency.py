"""Do the references between the resources of a snapshot hold? Yes, or an error that names them.

A second look, by other means than those that built it: the encoded bytes are read back. A wrong
reference would leave something in warming in every Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE, SCOPED_ROUTE, TypeUrl

Reference = tuple[TypeUrl, str]
"""The type and name that a resource refers to."""


class InconsistentSnapshotError(Exception):
    """A resource refers to one that the snapshot does not hold, or nothing refers to it."""


def check_consistency(node: NodeSnapshot) -> None:
    """Raise InconsistentSnapshotError unless the references of *node* hold, and all are needed.

    Checked: EDS clusters and load assignments pair up, routes name clusters that exist, scopes and
    RouteConfigurations pair up.
    """
    for referring, wanted in ((CLUSTER, ENDPOINT), (SCOPED_ROUTE, ROUTE), (ROUTE, CLUSTER)):
        named = _named(node.types[referring].resources.values(), wanted)
        present = node.types[wanted].resources.keys()
        _refuse(node, wanted, named - present, "is referred to but missing")
        if wanted != CLUSTER:  # a pool may wait for its first route
            _refuse(node, wanted, present - named, "is there but nothing refers to it")


def _named(resources: Iterable[Resource], wanted: TypeUrl) -> set[str]:
    return {
        name
        for resource in resources
        for type_url, name in references(resource)
        if type_url == wanted
    }


def _refuse(node: NodeSnapshot, type_url: TypeUrl, wrong: set[str], problem: str) -> None:
    if wrong:
        kind = type_url.rpartition(".")[2]
        message = f"gateway {node.gateway}: {kind} {', '.join(sorted(wrong))} {problem}"
        raise InconsistentSnapshotError(message)


@lru_cache(maxsize=65_536)
def references(resource: Resource) -> tuple[Reference, ...]:
    """Return what *resource* refers to; each content is read once."""
    if resource.type_url == CLUSTER:
        cluster = Cluster.FromString(resource.body)
        return ((ENDPOINT, cluster.name),) if cluster.type == Cluster.EDS else ()
    if resource.type_url == SCOPED_ROUTE:
        scope = ScopedRouteConfiguration.FromString(resource.body)
        return ((ROUTE, scope.route_configuration_name),)
    if resource.type_url == ROUTE:
        return tuple((CLUSTER, name) for name in _clusters_of_routes(resource.body))
    return ()


def _clusters_of_routes(body: bytes) -> Iterator[str]:
    for virtual_host in RouteConfiguration.FromString(body).virtual_hosts:
        for route in virtual_host.routes:
            if route.route.cluster:
                yield route.route.cluster
            for share in route.route.weighted_clusters.clusters:
                yield share.name
            for mirror in route.route.request_mirror_policies:
                yield mirror.cluster
