"""What works without the refused resources: the snapshot that is served while a refusal stands.

Does not remember anything (`quarantine.py` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from snapshots.snapshot import NodeSnapshot, Resource, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE, SCOPED_ROUTE, TypeUrl

Accepted = Mapping[tuple[TypeUrl, str], dict[str, Resource]]
"""Accepted versions by type and name, oldest first."""


class Fallback:
    """Replace what is refused in *desired* by what was *accepted*, or withhold it."""

    def __init__(
        self,
        desired: NodeSnapshot,
        accepted: Accepted,
        refused: AbstractSet[tuple[TypeUrl, str, str]],
    ) -> None:
        self._desired = desired
        self._accepted = accepted
        self._refused = refused
        self._types: dict[TypeUrl, dict[str, Resource]] = {}
        self._withheld: dict[TypeUrl, set[str]] = {}

    def replace(self, key: tuple[TypeUrl, str, str], *, or_withhold: bool) -> None:
        """Put an accepted version in the place of *key*; without one, withhold it if asked to."""
        type_url, name, _version = key
        older = self._last_accepted(type_url, name, lambda _resource: True)
        if older is not None or or_withhold:
            self._put(type_url, name, older)

    def close(self) -> None:
        """Hold back what needs a withheld resource, and keep what older versions need."""
        for name in sorted(self._withheld.get(ENDPOINT, ())):
            # A cluster that never had endpoints would warm until Envoy gives up.
            if name in self._resources(CLUSTER):
                self._put(CLUSTER, name, None)
        self._hold_back(ROUTE, without=CLUSTER)
        self._hold_back(SCOPED_ROUTE, without=ROUTE)
        self._keep_clusters_of_older_routes()

    def snapshot(self) -> NodeSnapshot:
        """Return what is served."""
        types = dict(self._desired.types)
        for type_url, resources in self._types.items():
            types[type_url] = TypeSnapshot.of(resources.values())
        return NodeSnapshot.of(self._desired.gateway, types)

    def withheld(self) -> Mapping[TypeUrl, frozenset[str]]:
        """Return the names about which nothing is said."""
        return MappingProxyType(
            {url: frozenset(names) for url, names in self._withheld.items() if names}
        )

    def _hold_back(self, type_url: TypeUrl, *, without: TypeUrl) -> None:
        lost = [reference(name) for name in sorted(self._withheld.get(without, ()))]
        if not lost:
            return

        def works(resource: Resource) -> bool:
            return not any(name in resource.body for name in lost)

        for name, resource in list(self._resources(type_url).items()):
            if not works(resource):
                self._put(type_url, name, self._last_accepted(type_url, name, works))

    def _keep_clusters_of_older_routes(self) -> None:
        desired = self._desired.types[ROUTE].resources
        older = [r for n, r in self._types.get(ROUTE, {}).items() if r is not desired.get(n)]
        for type_url, name in self._accepted if older else ():
            if type_url != CLUSTER or name in self._resources(CLUSTER):
                continue
            if name not in self._withheld.get(CLUSTER, ()) and any(
                reference(name) in route.body for route in older
            ):
                self._restore(name)

    def _restore(self, name: str) -> None:
        for type_url in (CLUSTER, ENDPOINT):
            resource = self._last_accepted(type_url, name, lambda _resource: True)
            if resource is not None:
                self._mutable(type_url).setdefault(name, resource)

    def _last_accepted(
        self, type_url: TypeUrl, name: str, works: Callable[[Resource], bool]
    ) -> Resource | None:
        versions = self._accepted.get((type_url, name)) or {}
        for version, resource in reversed(versions.items()):
            if (type_url, name, version) not in self._refused and works(resource):
                return resource
        return None

    def _put(self, type_url: TypeUrl, name: str, resource: Resource | None) -> None:
        resources = self._mutable(type_url)
        if resource is not None:
            resources[name] = resource
        else:
            resources.pop(name, None)
            self._withheld.setdefault(type_url, set()).add(name)

    def _mutable(self, type_url: TypeUrl) -> dict[str, Resource]:
        if type_url not in self._types:
            self._types[type_url] = dict(self._desired.types[type_url].resources)
        return self._types[type_url]

    def _resources(self, type_url: TypeUrl) -> Mapping[str, Resource]:
        if type_url in self._types:
            return self._types[type_url]
        return self._desired.types[type_url].resources


def reference(name: str) -> bytes:
    """Return how a message that names *name* in some field holds it: length, then bytes.

    A body that does not contain this does not name it.
    """
    encoded = name.encode()
    length = len(encoded)
    prefix = bytearray()
    while length > 0x7F:  # noqa: PLR2004 - seven bits per byte of a protobuf varint
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + encoded
