"""Do the references between the resources of a snapshot hold? Yes, or an error that names them.

A second look, by other means than those that built it: the encoded bytes are read back. A wrong
reference would leave something in warming in every Envoy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import ClusterSpecifierPlugin
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.router.cluster_specifiers.lua.v3.lua_pb2 import LuaConfig
from xds.type.v3.typed_struct_pb2 import TypedStruct

from snapshots.secret_references import secrets_of, secrets_of_filters
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET, TypeUrl

Reference = tuple[TypeUrl, str]
"""The type and name that a resource refers to."""


REFERRING: Final[Mapping[TypeUrl, tuple[TypeUrl, ...]]] = {
    ENDPOINT: (CLUSTER,),
    ROUTE: (SCOPED_ROUTE,),
    CLUSTER: (ROUTE,),
    SECRET: (CLUSTER, LISTENER),
}
"""Which types refer to a type."""


class InconsistentSnapshotError(Exception):
    """A resource refers to one that the snapshot does not hold, or nothing refers to it."""


def check_consistency(node: NodeSnapshot) -> None:
    """Raise InconsistentSnapshotError unless the references of *node* hold, and all are needed.

    Checked: EDS clusters and load assignments pair up, routes name clusters that exist, scopes and
    RouteConfigurations pair up, and so do secrets with the clusters and listeners that name them.
    """
    for wanted, referring in REFERRING.items():
        named: set[str] = set()
        for type_url in referring:
            named |= _named(node.types[type_url].resources.values(), wanted)
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
        return tuple(_references_of_cluster(Cluster.FromString(resource.body)))
    if resource.type_url == LISTENER:
        chains = Listener.FromString(resource.body).filter_chains
        return tuple(ref for chain in chains for ref in secrets_of(chain.transport_socket))
    if resource.type_url == SCOPED_ROUTE:
        scope = ScopedRouteConfiguration.FromString(resource.body)
        return ((ROUTE, scope.route_configuration_name),)
    if resource.type_url == ROUTE:
        return tuple((CLUSTER, name) for name in _clusters_of_routes(resource.body))
    return ()


def _references_of_cluster(cluster: Cluster) -> Iterator[Reference]:
    if cluster.type == Cluster.EDS:
        yield ENDPOINT, cluster.name
    yield from secrets_of(cluster.transport_socket)
    yield from secrets_of_filters(cluster)


def _clusters_of_routes(body: bytes) -> Iterator[str]:
    for virtual_host in RouteConfiguration.FromString(body).virtual_hosts:
        for route in virtual_host.routes:
            if route.route.cluster:
                yield route.route.cluster
            for share in route.route.weighted_clusters.clusters:
                yield share.name
            yield from _clusters_of_chain(route.route.inline_cluster_specifier_plugin)
            for mirror in route.route.request_mirror_policies:
                yield mirror.cluster


def _clusters_of_chain(plugin: ClusterSpecifierPlugin) -> Iterator[str]:
    """Yield what the groups of a priority group name, or what a script leads to if it fails."""
    config, script = TypedStruct(), LuaConfig()
    if plugin.extension.typed_config.Unpack(script):
        yield script.default_cluster
    if plugin.extension.typed_config.Unpack(config):
        for group in config.value["priority_groups"]:
            for cluster in group["clusters"]:
                yield cluster["cluster_name"]
