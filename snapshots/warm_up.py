"""The step before an edit that leaves a pool none of its servers.

Envoy gives a new server no request until its first health check. For a new cluster it withholds its
ACK until then, so the routes wait; but new endpoints of an old cluster take effect at once. So
where every server of a pool is replaced, the new ones are first published beside the old ones.

Source: "Health checking" and "Cluster warming" of Envoy's architecture overview.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.type.v3.http_pb2 import CodecClientType

from snapshots.assignments import (
    Server,
    add,
    address_of,
    is_draining,
    members,
    only,
    read_assignment,
    serve_again,
    servers,
    write_assignment,
)
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT

OK = 200


@dataclass(frozen=True, slots=True, order=True)
class FirstCheck:
    """A server that every Envoy is about to check for the first time."""

    host: str
    port: int
    path: str
    """Of the health check."""
    status: int = OK
    """What a healthy server answers."""
    tls: bool = False
    http2: bool = False


@dataclass(frozen=True, slots=True)
class WarmUp:
    """The first of two steps."""

    snapshot: Snapshot
    first_checks: tuple[FirstCheck, ...]


def keep_replaced_servers(
    old: Snapshot, new: Snapshot, pending: Iterable[FirstCheck] = ()
) -> WarmUp | None:
    """Return what to publish between *old* and *new*; None if no pool gets all new servers.

    It is *new* with the old servers of each such pool beside the new ones. *pending* are the first
    checks of *old* that may not have been good yet: such a server counts as new still.
    """
    unchecked = frozenset((check.host, check.port) for check in pending)
    checks: set[FirstCheck] = set()
    nodes = dict(new.nodes)
    for cluster in old.nodes.keys() & new.nodes.keys():
        unions = list(_unions(old.nodes[cluster], new.nodes[cluster], unchecked, checks))
        if unions:
            nodes[cluster] = _with_endpoints(new.nodes[cluster], unions)
    return WarmUp(new.with_nodes(nodes), tuple(sorted(checks))) if checks else None


def _unions(
    old: NodeSnapshot,
    new: NodeSnapshot,
    unchecked: frozenset[Server],
    checks: set[FirstCheck],
) -> Iterator[Resource]:
    """Yield the load assignment of each pool whose servers are all replaced; add to *checks*."""
    before, after = old.types[ENDPOINT], new.types[ENDPOINT]
    if before.version == after.version:
        return
    for name, resource in after.resources.items():
        replaced = before.resources.get(name)
        if replaced is None or replaced.version == resource.version:
            continue
        check = _health_check(name, new, old)
        was, now = _in_use(read_assignment(replaced), unchecked), read_assignment(resource)
        if check and _are_disjoint(was, now):
            checks.update(replace(check, host=host, port=port) for host, port in servers(now))
            add(now, was)
            yield write_assignment(now, resource)


def _health_check(cluster_name: str, *nodes: NodeSnapshot) -> FirstCheck | None:
    """Return a cluster's health check, for no server yet, of the first of *nodes* that has one.

    An edit that switches it off makes a new cluster, and the old one is used until that is warm.
    """
    for node in nodes:
        cluster = Cluster.FromString(node.types[CLUSTER].resources[cluster_name].body)
        if cluster.health_checks:
            check = cluster.health_checks[0].http_health_check
            expected = [status.start for status in check.expected_statuses]
            by_tls = cluster.HasField("transport_socket")
            by_http2 = check.codec_client_type == CodecClientType.HTTP2
            return FirstCheck("", 0, check.path, min(expected, default=OK), by_tls, by_http2)
    return None


def _with_endpoints(node: NodeSnapshot, changed: list[Resource]) -> NodeSnapshot:
    endpoints = {**node.types[ENDPOINT].resources, **{r.name: r for r in changed}}
    types = {**node.types, ENDPOINT: TypeSnapshot.of(endpoints.values())}
    return NodeSnapshot.of(node.gateway, types)


def _in_use(
    assignment: ClusterLoadAssignment, unchecked: frozenset[Server]
) -> ClusterLoadAssignment:
    """Return the servers that can take the requests until new ones are checked.

    Those that are draining only if there are no others, as of a pool that comes back.
    """
    checked = only(assignment, lambda member: address_of(member) not in unchecked)
    if all(map(is_draining, members(checked))):
        serve_again(checked)
    return only(checked, lambda member: not is_draining(member))


def _are_disjoint(was: ClusterLoadAssignment, now: ClusterLoadAssignment) -> bool:
    before, after = set(servers(was)), set(servers(now))
    return bool(before and after) and before.isdisjoint(after)
