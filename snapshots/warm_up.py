"""What Envoy must know, and have health-checked, before its routes may move.

Envoy ACKs a cluster before it has checked the servers, and answers 503 for it until then. So an
edit that brings servers which no Envoy has seen is published in two steps: first the old routes
with the new servers beside the old ones, then everything. This module makes the first step.

Source: "Cluster warming" and "Health checking" of Envoy's architecture overview.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_components_pb2 import LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT


@dataclass(frozen=True, slots=True, order=True)
class FirstCheck:
    """A server that every Envoy is about to check for the first time."""

    host: str
    port: int
    path: str
    """Of the health check; empty: the pool has none, and must only be resolved."""


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The first of two steps."""

    snapshot: Snapshot
    first_checks: tuple[FirstCheck, ...]


def warm_up(old: Snapshot, new: Snapshot) -> WarmUp | None:
    """Return what to publish between *old* and *new*, or None where one step will do."""
    checks: set[FirstCheck] = set()
    nodes = dict(old.nodes)
    for cluster in old.nodes.keys() & new.nodes.keys():
        step = _Step(old.nodes[cluster], new.nodes[cluster])
        checks.update(step.first_checks)
        nodes[cluster] = step.snapshot()
    return WarmUp(Snapshot.of(nodes), tuple(sorted(checks))) if checks else None


class _Step:
    """The warm-up of one gateway."""

    def __init__(self, old: NodeSnapshot, new: NodeSnapshot) -> None:
        self._old = old
        self._clusters = dict(old.types[CLUSTER].resources)
        self._endpoints = dict(old.types[ENDPOINT].resources)
        self.first_checks: list[FirstCheck] = []
        if old.types[CLUSTER].version != new.types[CLUSTER].version:
            self._add_clusters(new)
        if old.types[ENDPOINT].version != new.types[ENDPOINT].version:
            self._keep_replaced_endpoints(new)

    def snapshot(self) -> NodeSnapshot:
        if not self.first_checks:
            return self._old
        types = {
            **self._old.types,
            CLUSTER: TypeSnapshot.of(self._clusters.values()),
            ENDPOINT: TypeSnapshot.of(self._endpoints.values()),
        }
        return NodeSnapshot.of(self._old.gateway, types)

    def _add_clusters(self, new: NodeSnapshot) -> None:
        clusters, endpoints = new.types[CLUSTER].resources, new.types[ENDPOINT].resources
        for name in clusters.keys() - self._clusters.keys():
            self._clusters[name] = clusters[name]
            cluster = Cluster.FromString(clusters[name].body)
            assignment = cluster.load_assignment
            if name in endpoints:
                self._endpoints[name] = endpoints[name]
                assignment = _assignment(endpoints[name])
            if cluster.health_checks or cluster.type == Cluster.STRICT_DNS:
                self.first_checks.extend(_first_checks(cluster, assignment))

    def _keep_replaced_endpoints(self, new: NodeSnapshot) -> None:
        """Keep the old servers of a pool beside the new ones where no server stays."""
        before, after = self._old.types[ENDPOINT].resources, new.types[ENDPOINT].resources
        for name in before.keys() & after.keys():
            if before[name].version == after[name].version:
                continue
            cluster = Cluster.FromString(self._clusters[name].body)
            old, added = _assignment(before[name]), _assignment(after[name])
            if cluster.health_checks and _are_disjoint(old, added):
                self._endpoints[name] = _union(before[name], old, added)
                self.first_checks.extend(_first_checks(cluster, added))


def _assignment(resource: Resource) -> ClusterLoadAssignment:
    return ClusterLoadAssignment.FromString(resource.body)


def _addresses(assignment: ClusterLoadAssignment) -> Iterator[tuple[str, int]]:
    for locality in assignment.endpoints:
        for member in locality.lb_endpoints:
            address = member.endpoint.address.socket_address
            yield address.address, address.port_value


def _are_disjoint(old: ClusterLoadAssignment, new: ClusterLoadAssignment) -> bool:
    before, after = set(_addresses(old)), set(_addresses(new))
    return bool(before and after) and before.isdisjoint(after)


def _first_checks(cluster: Cluster, assignment: ClusterLoadAssignment) -> Iterator[FirstCheck]:
    path = cluster.health_checks[0].http_health_check.path if cluster.health_checks else ""
    for host, port in _addresses(assignment):
        yield FirstCheck(host, port, path)


def _union(resource: Resource, old: ClusterLoadAssignment, new: ClusterLoadAssignment) -> Resource:
    union = ClusterLoadAssignment()
    union.CopyFrom(old)
    for added in new.endpoints:
        _locality(union, added).lb_endpoints.extend(added.lb_endpoints)
    body = union.SerializeToString(deterministic=True)
    return Resource.of(ENDPOINT, resource.name, body, resource.origin)


def _locality(union: ClusterLoadAssignment, like: LocalityLbEndpoints) -> LocalityLbEndpoints:
    """Return the group of *union* in the zone of *like*: Envoy takes each zone once."""
    for group in union.endpoints:
        if group.locality == like.locality:
            return group
    group = union.endpoints.add()
    group.locality.CopyFrom(like.locality)
    return group
