"""Load assignments as lists of servers that can be compared, joined and thinned out.

Source: "HTTP/EDS endpoint configuration (proto)" of the API reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from snapshots.snapshot import Resource
from snapshots.type_urls import ENDPOINT

Server = tuple[str, int]
"""Host and port."""
Member = Callable[[LbEndpoint], bool]


def read_assignment(resource: Resource) -> ClusterLoadAssignment:
    """Return the message in *resource*."""
    return ClusterLoadAssignment.FromString(resource.body)


def write_assignment(assignment: ClusterLoadAssignment, like: Resource) -> Resource:
    """Return *assignment* as a resource of the name and origin of *like*."""
    body = assignment.SerializeToString(deterministic=True)
    return Resource.of(ENDPOINT, like.name, body, like.origin)


def groups_of_servers(assignment: ClusterLoadAssignment) -> Iterator[LocalityLbEndpoints]:
    """Yield the groups of servers; of another priority is only what refuses requests."""
    return (group for group in assignment.endpoints if not group.priority)


def members(assignment: ClusterLoadAssignment) -> Iterator[LbEndpoint]:
    """Yield the servers of *assignment*."""
    for group in groups_of_servers(assignment):
        yield from group.lb_endpoints


def servers(assignment: ClusterLoadAssignment) -> Iterator[Server]:
    """Yield where the servers of *assignment* are."""
    return map(address_of, members(assignment))


def address_of(member: LbEndpoint) -> Server:
    """Return where a server is."""
    address = member.endpoint.address.socket_address
    return address.address, address.port_value


def only(assignment: ClusterLoadAssignment, wanted: Member) -> ClusterLoadAssignment:
    """Return the servers of *assignment* that are *wanted*, in their zones, and nothing else."""
    rest = ClusterLoadAssignment(cluster_name=assignment.cluster_name)
    for group in groups_of_servers(assignment):
        found = [member for member in group.lb_endpoints if wanted(member)]
        if found:
            _group_like(rest, group).lb_endpoints.extend(found)
    return rest


def one_by_one(assignment: ClusterLoadAssignment) -> Iterator[tuple[Server, ClusterLoadAssignment]]:
    """Yield each server of *assignment* with a load assignment of nothing but it."""
    for group in groups_of_servers(assignment):
        for member in group.lb_endpoints:
            alone = ClusterLoadAssignment(cluster_name=assignment.cluster_name)
            _group_like(alone, group).lb_endpoints.append(member)
            yield address_of(member), alone


def add(assignment: ClusterLoadAssignment, more: ClusterLoadAssignment) -> None:
    """Add the servers of *more* to *assignment*, behind those of their zones."""
    for group in more.endpoints:
        _group_like(assignment, group).lb_endpoints.extend(group.lb_endpoints)


def _group_like(
    assignment: ClusterLoadAssignment, like: LocalityLbEndpoints
) -> LocalityLbEndpoints:
    """Return the group of *assignment* in the zone of *like*: a zone stands there once."""
    for group in assignment.endpoints:
        if (group.locality, group.priority) == (like.locality, like.priority):
            return group
    group = assignment.endpoints.add(priority=like.priority)
    if like.HasField("locality"):
        group.locality.CopyFrom(like.locality)
    return group


def is_draining(member: LbEndpoint) -> bool:
    """Return whether a server is to get no new requests, as it is about to leave."""
    return bool(member.health_status == HealthStatus.DRAINING)


def drain(assignment: ClusterLoadAssignment) -> None:
    """Have the servers of *assignment* get no new requests."""
    for member in members(assignment):
        member.health_status = HealthStatus.DRAINING


def serve_again(assignment: ClusterLoadAssignment) -> None:
    """Have the servers of *assignment* get new requests."""
    for member in members(assignment):
        member.health_status = HealthStatus.UNKNOWN
