"""What the nodes of one gateway have accepted: the last versions of each resource.

Does not decide what is served (`quarantine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from snapshots.consistency import references
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ROUTE, TypeUrl
from xds_server.protocol.changes import changed_names
from xds_server.protocol.events import Served

VERSIONS_REMEMBERED = 3


@dataclass(slots=True)
class Gateway:
    """What the nodes of one gateway have accepted."""

    desired: NodeSnapshot
    accepted: dict[tuple[TypeUrl, str], dict[str, Resource]] = field(default_factory=dict)
    """By type and name: the last accepted versions, oldest first."""
    gone: set[tuple[TypeUrl, str]] = field(default_factory=set)
    """What `desired` has no more, and is remembered all the same."""
    claimed: dict[TypeUrl, str] = field(default_factory=dict)
    """The versions of types of which a node has told that it holds all."""
    served: dict[str, Served] = field(default_factory=dict)
    """By version of Envoy."""
    served_at: int = -1


def replaced(record: Gateway, served: NodeSnapshot) -> set[tuple[TypeUrl, str]]:
    """Return what *served* has otherwise than `desired`, and what older routes of that lead to.

    Also if `desired` has it still: it may be there just until it has been drained.
    """
    keys = {
        (url, name)
        for url, of_type in record.desired.types.items()
        for name in changed_names(of_type, served.types[url])
    }
    routes = [r for key in keys if key[0] == ROUTE for r in record.accepted.get(key, {}).values()]
    clusters = {cluster for route in routes for cluster in references(route)}
    versions = [r for key in clusters for r in record.accepted.get(key, {}).values()]
    return keys | clusters | {part for cluster in versions for part in references(cluster)}


def remember(record: Gateway, resource: Resource) -> bool:
    """Record that *resource* was accepted; return whether that is news."""
    key = (resource.type_url, resource.name)
    versions = record.accepted.setdefault(key, {})
    wanted = record.desired.types[resource.type_url].resources.get(resource.name)
    if wanted is resource and versions and next(reversed(versions)) == resource.version:
        return False  # as the node before this one did
    before = tuple(versions)
    if wanted is None:
        record.gone.add(key)
    if wanted is not None and wanted.version == resource.version:
        versions.pop(resource.version, None)  # the newest: to the end
    versions.setdefault(resource.version, resource)
    if len(versions) > VERSIONS_REMEMBERED:
        del versions[next(iter(versions))]
    return tuple(versions) != before


def is_in(snapshot: NodeSnapshot, key: tuple[TypeUrl, str]) -> bool:
    """Return whether *snapshot* has a resource of this type and name."""
    type_url, name = key
    return name in snapshot.types[type_url].resources


def clusters_of_routes(record: Gateway) -> set[tuple[TypeUrl, str]]:
    """Return the clusters, with what they need, that any accepted route leads to."""
    routes = (r for (url, _), rs in record.accepted.items() if url == ROUTE for r in rs.values())
    clusters = {(CLUSTER, name) for route in routes for _, name in references(route)}
    versions = (r for key in clusters for r in record.accepted.get(key, {}).values())
    return clusters | {reference for cluster in versions for reference in references(cluster)}
