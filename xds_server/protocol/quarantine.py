"""What is served in place of refused resources, and to whom. Shared by all streams of a process.

A refused resource is replaced by its last ACKed version, or withheld: a client that holds an older
version keeps it. Whatever could only work with a withheld resource is held back with it, so that a
refused cluster does not take the traffic of the route that was about to use it. When the registry
changes the content, the version differs, and the refusal means nothing any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from snapshots.consistency import references
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, PUSH_ORDER, ROUTE, TypeUrl
from xds_server.protocol.changes import changed_names
from xds_server.protocol.events import Served
from xds_server.protocol.fallback import Fallback, RefusalKey, refusal_key

MAX_GATEWAYS = 1024
VERSIONS_REMEMBERED = 3


@dataclass(slots=True)
class _Gateway:
    """What the nodes of one gateway have accepted."""

    desired: NodeSnapshot
    accepted: dict[tuple[TypeUrl, str], dict[str, Resource]] = field(default_factory=dict)
    """By type and name: the last accepted versions, oldest first."""
    gone: set[tuple[TypeUrl, str]] = field(default_factory=set)
    """What `desired` has no more, and is remembered all the same."""
    served: Served | None = None
    served_at: int = -1


class Quarantine:
    """Remember what was refused and what was accepted; decide what is served instead."""

    def __init__(self) -> None:
        self.serial = 0
        """Grows whenever `effective` may answer differently for an unchanged snapshot."""
        self._refused: set[RefusalKey] = set()
        self._disputed: set[RefusalKey] = set()
        """What anybody refused, also if somebody else accepted it."""
        self._gateways: OrderedDict[str, _Gateway] = OrderedDict()

    def accepted(self, gateway: str, resources: Iterable[Resource]) -> None:
        """Record that a node of *gateway* ACKed *resources*.

        What one node accepts is not kept from the others because another one refused it.
        """
        record = self._gateways.get(gateway)
        if record is None:
            return
        for resource in resources:
            lifted = refusal_key(resource) in self._refused
            self._refused.discard(refusal_key(resource))
            if (_remember(record, resource) and self._disputed) or lifted:
                self.serial += 1

    def refused(self, resources: Iterable[Resource]) -> None:
        """Record that a node refused *resources*."""
        for resource in resources:
            key = refusal_key(resource)
            self._disputed.add(key)
            if key not in self._refused and not self._accepted_somewhere(resource):
                self._refused.add(key)
                self.serial += 1

    def effective(self, desired: NodeSnapshot, own: frozenset[RefusalKey] = frozenset()) -> Served:
        """Return what is served for *desired* to a client that itself refused *own*.

        Costs nothing, and serves *desired* itself, while nothing is refused.
        """
        record = self._record(desired)
        if record.served is None or record.served_at != self.serial:
            record.served = self._replace(record, self._refused)
            record.served_at = self.serial
        if not own:
            return record.served
        return self._replace(record, self._refused | own, own)

    def _record(self, desired: NodeSnapshot) -> _Gateway:
        record = self._gateways.get(desired.gateway)
        if record is None:
            record = self._gateways[desired.gateway] = _Gateway(desired)
            if len(self._gateways) > MAX_GATEWAYS:
                self._gateways.popitem(last=False)
        elif record.desired.version != desired.version:
            self._forget(record, desired)
            record.desired, record.served = desired, None
        self._gateways.move_to_end(desired.gateway)
        return record

    def _forget(self, record: _Gateway, desired: NodeSnapshot) -> None:
        """Forget what neither *desired* nor what was served before it has.

        Except for the clusters of older routes: these may have to be served once more.
        """
        before = record.served.snapshot if record.served else record.desired
        for url, of_type in desired.types.items():
            changed = changed_names(record.desired.types[url], of_type)
            record.gone.update((url, name) for name in changed)
        record.gone = {key for key in record.gone if not _is_in(desired, key)}
        unused = {key for key in record.gone if not _is_in(before, key)}
        if unused:
            unused -= _clusters_of_routes(record)
        for key in unused:
            record.accepted.pop(key, None)
        record.gone -= unused
        current = [g.desired for g in self._gateways.values() if g is not record] + [desired]
        self._disputed = {key for key in self._disputed if any(_has(s, key) for s in current)}
        self._refused &= self._disputed

    def _accepted_somewhere(self, resource: Resource) -> bool:
        key = (resource.type_url, resource.name)
        return any(resource.version in g.accepted.get(key, {}) for g in self._gateways.values())

    def _replace(
        self,
        record: _Gateway,
        refused: AbstractSet[RefusalKey],
        own: frozenset[RefusalKey] = frozenset(),
    ) -> Served:
        present = {key for key in refused if _has(record.desired, key)}
        if not present:
            return Served(record.desired)
        self._disputed |= present
        return Fallback(record.desired, record.accepted, refused).served(own)


def _remember(record: _Gateway, resource: Resource) -> bool:
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


def _is_in(snapshot: NodeSnapshot, key: tuple[TypeUrl, str]) -> bool:
    type_url, name = key
    return name in snapshot.types[type_url].resources


def _clusters_of_routes(record: _Gateway) -> set[tuple[TypeUrl, str]]:
    """Return the clusters, with what they need, that any accepted route leads to."""
    routes = (r for (url, _), rs in record.accepted.items() if url == ROUTE for r in rs.values())
    clusters = {(CLUSTER, name) for route in routes for _, name in references(route)}
    versions = (r for key in clusters for r in record.accepted.get(key, {}).values())
    return clusters | {reference for cluster in versions for reference in references(cluster)}


def _has(snapshot: NodeSnapshot, key: RefusalKey) -> bool:
    type_url, name, version = key
    if type_url not in PUSH_ORDER:
        return False
    resource = snapshot.types[type_url].resources.get(name)
    return resource is not None and resource.version == version
