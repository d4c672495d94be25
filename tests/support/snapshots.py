"""Snapshots made by hand, small enough to read, of resources that Envoy's messages can express."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot, content_version
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET, TypeUrl


def draining(name: str, content: str = "1") -> Resource:
    """Return the load assignment of the cluster *name*, which is to get no new requests."""
    going = endpoints(name, f"{content}, draining")
    return replace(going, undrained=endpoints(name, content))


def resource(type_url: TypeUrl, name: str, body: bytes, origin: tuple[str, ...] = ()) -> Resource:
    """Return a resource with any body."""
    return Resource(type_url, name, body, content_version([name.encode(), body]), origin)


def cluster(name: str, content: str = "1", origin: tuple[str, ...] = ()) -> Resource:
    """Return a cluster whose content differs by *content*."""
    message = cluster_pb2.Cluster(name=name, alt_stat_name=content, type=cluster_pb2.Cluster.EDS)
    return resource(CLUSTER, name, message.SerializeToString(), origin)


def endpoints(name: str, content: str = "1") -> Resource:
    """Return the load assignment of the cluster *name*."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    message.endpoints.add().locality.zone = content
    return resource(ENDPOINT, name, message.SerializeToString())


def listener(name: str, content: str = "1") -> Resource:
    """Return a listener."""
    message = listener_pb2.Listener(name=name, stat_prefix=content)
    return resource(LISTENER, name, message.SerializeToString())


def secret(name: str, content: str = "1") -> Resource:
    """Return a secret whose content differs by *content*."""
    message = secret_pb2.Secret(name=name)
    message.generic_secret.secret.inline_string = content
    return resource(SECRET, name, message.SerializeToString())


def scope(name: str, route_name: str, content: str = "1") -> Resource:
    """Return a scope that uses the route configuration *route_name*."""
    message = scoped_route_pb2.ScopedRouteConfiguration(
        name=name, route_configuration_name=route_name
    )
    message.key.fragments.add().string_key = content
    return resource(SCOPED_ROUTE, name, message.SerializeToString())


def route(name: str, *clusters: str, content: str = "1") -> Resource:
    """Return a route configuration whose routes lead to *clusters*."""
    message = route_pb2.RouteConfiguration(name=name)
    host = message.virtual_hosts.add(name=content, domains=["*"])
    for cluster_name in clusters:
        host.routes.add().route.cluster = cluster_name
    return resource(ROUTE, name, message.SerializeToString())


def clusters_of(route_configuration: Resource) -> frozenset[str]:
    """Return the names of the clusters that *route_configuration* leads to."""
    message = route_pb2.RouteConfiguration.FromString(route_configuration.body)
    return frozenset(r.route.cluster for host in message.virtual_hosts for r in host.routes)


def node_snapshot(*resources: Resource, gateway: str = "default") -> NodeSnapshot:
    """Return the snapshot of one gateway that consists of *resources*."""
    by_type: dict[TypeUrl, list[Resource]] = {}
    for one in resources:
        by_type.setdefault(one.type_url, []).append(one)
    return NodeSnapshot.of(gateway, {u: TypeSnapshot.of(rs) for u, rs in by_type.items()})


def snapshot(*resources: Resource) -> Snapshot:
    """Return the snapshot of a fleet with one gateway for every node."""
    return Snapshot.of({"*": node_snapshot(*resources)})


def pool(name: str, content: str = "1") -> tuple[Resource, Resource]:
    """Return a cluster and its endpoints."""
    return cluster(name, content), endpoints(name, content)


def model(name: str, *pools: str, content: str = "1") -> tuple[Resource, Resource]:
    """Return the scope and the route configuration of a model that *pools* serve."""
    return scope(name, name), route(name, *pools, content=content)


def names(resources: Iterable[Resource]) -> list[str]:
    """Return the names of *resources*, in their order."""
    return [one.name for one in resources]
