"""What is served in place of refused resources, and to whom. Shared by all streams of a process.

A refused resource is replaced by its last ACKed version, or withheld: a client that holds an older
version keeps it. Whatever could only work with a withheld resource is held back with it, so that a
refused cluster does not take the traffic of the route that was about to use it. When the registry
changes the content, the version differs, and the refusal means nothing any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import PUSH_ORDER, SECRET
from xds_server.protocol.accepted import Gateway, clusters_of_routes, is_in, remember, replaced
from xds_server.protocol.changes import changed_names
from xds_server.protocol.claims import claimed
from xds_server.protocol.events import DeltaRequest, Served, SotwRequest
from xds_server.protocol.fallback import Fallback, RefusalKey, refusal_key

MAX_GATEWAYS = 1024
MAX_ENVOY_VERSIONS = 16
"""Of Envoy, that are told apart: clients can say that they are anything."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What a quarantine knows that its successor in another process needs."""

    refused: Mapping[RefusalKey, frozenset[str]]
    """What anybody refused, with the versions of Envoy that it is kept from; none if somebody took
    it, so that it is kept only from who refused it."""
    accepted: Mapping[str, tuple[Resource, ...]]
    """What may be served in place of it by gateway, oldest first."""


class Quarantine:
    """Remember what was refused and what was accepted; decide what is served instead."""

    def __init__(self) -> None:
        self.serial = 0
        """Grows whenever `effective` may answer differently for an unchanged snapshot."""
        self._refused: dict[RefusalKey, dict[str, None]] = {}
        """What anybody refused, with the versions of Envoy that it is kept from: those that refused
        it, unless somebody took it."""
        self._gateways: OrderedDict[str, Gateway] = OrderedDict()
        self._restored: dict[str, tuple[Resource, ...]] = {}
        self._unsettled: frozenset[RefusalKey] = frozenset()
        """What was restored, and may be in a snapshot that is not known yet."""

    def accepted(self, gateway: str, resources: Iterable[Resource]) -> None:
        """Record that a node of *gateway* ACKed *resources*.

        What one node accepts is not kept from the others because another one refused it. Servers
        that get no new requests are remembered as they were: older routes may lead there.
        """
        record = self._gateways.get(gateway)
        if record is None:
            return
        for resource in resources:
            kept_from = self._refused.get(refusal_key(resource)) if self._refused else None
            if (remember(record, resource.undrained or resource) and self._refused) or kept_from:
                self.serial += 1
            if kept_from:
                kept_from.clear()

    def claimed(self, desired: NodeSnapshot, request: SotwRequest | DeltaRequest) -> None:
        """Record that a node which should have *desired* holds what its first *request* tells."""
        record, of_type = self._record(desired), desired.types.get(request.type_url)
        if of_type is None:
            return
        names: Iterable[str] | None = None
        if record.claimed.get(request.type_url) == of_type.version:
            # Thousands may come at once: what was learnt from one is not gone through again.
            names = [name for url, name, _ in self._refused if url == request.type_url]
        resources = tuple(claimed(request, of_type, names))
        if len(resources) == len(of_type.resources):
            record.claimed[request.type_url] = of_type.version
        self.accepted(desired.gateway, resources)

    def refused(self, resources: Iterable[Resource], envoy_version: str = "") -> None:
        """Record that a node, of this version of Envoy, refused *resources*."""
        for resource in resources:
            kept_from = self._refused.setdefault(refusal_key(resource), {})
            if envoy_version not in kept_from and not self._accepted_somewhere(resource):
                kept_from[envoy_version] = None
                if len(kept_from) > MAX_ENVOY_VERSIONS:
                    del kept_from[next(iter(kept_from))]
                self.serial += 1

    def effective(
        self,
        desired: NodeSnapshot,
        own: frozenset[RefusalKey] = frozenset(),
        envoy_version: str = "",
    ) -> Served:
        """Return what is served for *desired* to a client that itself refused *own*.

        An Envoy of a version that has not refused something may take it: it is not kept from it.
        Costs nothing, and serves *desired* itself, while nothing is refused.
        """
        record = self._record(desired)
        if record.served_at != self.serial or len(record.served) > MAX_ENVOY_VERSIONS:
            record.served, record.served_at = {}, self.serial
        served = record.served.get(envoy_version)
        if served is None:
            served = self._replace(record, self._kept_from(envoy_version))
            record.served[envoy_version] = served
        if not own:
            return served
        return self._replace(record, self._kept_from(envoy_version) | own, own)

    def served_instead(self, desired: NodeSnapshot) -> Iterator[NodeSnapshot]:
        """Yield what is served for *desired* to the Envoys that are kept from a part of it."""
        versions = {version for kept_from in self._refused.values() for version in kept_from}
        for version in sorted(versions):
            yield self.effective(desired, envoy_version=version).snapshot

    def is_kept_from(self, envoy_version: str, key: RefusalKey) -> bool:
        """Return whether all Envoys of this version are kept from what *key* tells."""
        return envoy_version in self._refused.get(key, ())

    def has_refused(self) -> bool:
        """Return whether anything is refused by anybody."""
        return bool(self._refused)

    def settle(self, *told: NodeSnapshot) -> frozenset[RefusalKey]:
        """Forget what is in nothing that is *told* to anybody; return what is refused still."""
        for node in told:
            if node.gateway in self._restored:
                self._record(node)
        self._unsettled, self._restored = frozenset(), {}
        refused = {key: by for key, by in self._refused.items() if any(has(s, key) for s in told)}
        if len(refused) < len(self._refused):
            self._refused = refused
            self.serial += 1
        return frozenset(refused)

    def kept(self) -> Quarantined:
        """Return what another process needs to go on with."""
        refused = {key: frozenset(kept_from) for key, kept_from in self._refused.items()}
        accepted = dict(self._restored)
        for gateway, record in self._gateways.items():
            if instead := tuple(self._instead(record)):
                accepted[gateway] = instead
        return Quarantined(refused, accepted)

    def restore(self, quarantined: Quarantined) -> None:
        """Go on with what another process kept; before anything is served."""
        self._refused = {
            key: dict.fromkeys(sorted(kept_from)) for key, kept_from in quarantined.refused.items()
        }
        self._unsettled = frozenset(self._refused)
        self._restored = dict(quarantined.accepted)
        self.serial += 1

    def _kept_from(self, envoy_version: str) -> frozenset[RefusalKey]:
        return frozenset(k for k, kept_from in self._refused.items() if envoy_version in kept_from)

    def _record(self, desired: NodeSnapshot) -> Gateway:
        record = self._gateways.get(desired.gateway)
        if record is None:
            record = self._gateways[desired.gateway] = Gateway(desired)
            for resource in self._restored.pop(desired.gateway, ()):
                versions = record.accepted.setdefault((resource.type_url, resource.name), {})
                versions[resource.version] = resource
            record.gone = {key for key in record.accepted if not is_in(desired, key)}
            if len(self._gateways) > MAX_GATEWAYS:
                self._gateways.popitem(last=False)
        elif record.desired.version != desired.version:
            self._forget(record, desired)
            record.desired, record.served = desired, {}
        self._gateways.move_to_end(desired.gateway)
        return record

    def _forget(self, record: Gateway, desired: NodeSnapshot) -> None:
        """Forget what neither *desired* nor what was served before it has.

        Except for the clusters of older routes: these may have to be served once more.
        """
        before = [served.snapshot for served in record.served.values()] or [record.desired]
        for url, of_type in desired.types.items():
            changed = changed_names(record.desired.types[url], of_type)
            record.gone.update((url, name) for name in changed)
        record.gone = {key for key in record.gone if not is_in(desired, key)}
        unused = {key for key in record.gone if not any(is_in(each, key) for each in before)}
        if unused:
            unused -= clusters_of_routes(record)
        for key in unused:
            record.accepted.pop(key, None)
        record.gone -= unused
        current = [g.desired for g in self._gateways.values() if g is not record] + [desired]
        self._refused = {
            key: kept_from
            for key, kept_from in self._refused.items()
            if key in self._unsettled or any(has(s, key) for s in current)
        }

    def _accepted_somewhere(self, resource: Resource) -> bool:
        key = (resource.type_url, resource.name)
        return any(resource.version in g.accepted.get(key, {}) for g in self._gateways.values())

    def _replace(
        self,
        record: Gateway,
        refused: AbstractSet[RefusalKey],
        own: frozenset[RefusalKey] = frozenset(),
    ) -> Served:
        present = {key for key in refused if has(record.desired, key)}
        if not present:
            return Served(record.desired)
        for key in present:
            self._refused.setdefault(key, {})
        return Fallback(record.desired, record.accepted, refused).served(own)

    def _instead(self, record: Gateway) -> Iterator[Resource]:
        """Yield all that may be served in place of what is refused.

        But for secrets, which no process leaves behind.
        """
        refused = frozenset(self._refused)
        own = frozenset(key for key in refused if has(record.desired, key))
        if not own:
            return
        served = Fallback(record.desired, record.accepted, refused).served(own).snapshot
        for key in sorted(replaced(record, served)):
            if key[0] != SECRET:
                yield from record.accepted.get(key, {}).values()


def has(snapshot: NodeSnapshot, key: RefusalKey) -> bool:
    """Return whether *snapshot* holds just what *key* tells."""
    type_url, name, version = key
    if type_url not in PUSH_ORDER:
        return False
    resource = snapshot.types[type_url].resources.get(name)
    return resource is not None and resource.version == version
