"""What works without the refused resources: the snapshot that is served while a refusal stands.

Does not remember anything (`quarantine.py` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from snapshots.consistency import references
from snapshots.snapshot import NodeSnapshot, Resource, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET, TypeUrl
from xds_server.protocol.events import Served

RefusalKey = tuple[TypeUrl, str, str]
"""Type, name and version of a resource."""

Accepted = Mapping[tuple[TypeUrl, str], dict[str, Resource]]
"""Accepted versions by type and name, oldest first."""


def refusal_key(resource: Resource) -> RefusalKey:
    """Return what identifies *resource* in the quarantine."""
    return (resource.type_url, resource.name, resource.version)


class Fallback:
    """Replaces what was *refused* of *desired* by what was *accepted*, or withholds it."""

    def __init__(
        self, desired: NodeSnapshot, accepted: Accepted, refused: AbstractSet[RefusalKey]
    ) -> None:
        self._desired = desired
        self._accepted = accepted
        self._refused = refused
        self._types: dict[TypeUrl, dict[str, Resource]] = {}
        self._withheld: dict[TypeUrl, set[str]] = {}

    def served(self, own: AbstractSet[RefusalKey]) -> Served:
        """Return what is served to a client that itself refused *own*."""
        self._replace(ENDPOINT, lambda _resource: True)
        self._replace(SECRET, lambda _resource: True)
        # A cluster that never had endpoints would warm until Envoy gives up.
        self._replace(CLUSTER, self._has_what_it_needs)
        self._replace(ROUTE, self._has_its_clusters)
        self._replace(SCOPED_ROUTE, self._has_its_route)
        self._replace_listeners(own)
        self._restore_clusters()
        types = dict(self._desired.types)
        types.update({url: TypeSnapshot.of(rs.values()) for url, rs in self._types.items()})
        withheld = {url: frozenset(names) for url, names in self._withheld.items()}
        return Served(NodeSnapshot.of(self._desired.gateway, types), MappingProxyType(withheld))

    def _replace(self, type_url: TypeUrl, works: Callable[[Resource], bool]) -> None:
        """Replace what was refused, and what needs something that is withheld."""
        for name, resource in self._desired.types[type_url].resources.items():
            if refusal_key(resource) in self._refused or not self._has_what_it_needs(resource):
                self._put(type_url, name, self._last_accepted(type_url, name, works))

    def _replace_listeners(self, own: AbstractSet[RefusalKey]) -> None:
        """Replace refused listeners, but let every stream try once what has no older version.

        Whether a listener can be had depends on the host, such as on a port in use.
        """
        for name, resource in self._desired.types[LISTENER].resources.items():
            key = refusal_key(resource)
            complete = self._has_what_it_needs(resource)  # else it would wait for its certificate
            if key in self._refused or not complete:
                older = self._last_accepted(LISTENER, name, self._has_what_it_needs)
                if older is not None or key in own or not complete:
                    self._put(LISTENER, name, older)

    def _has_what_it_needs(self, resource: Resource) -> bool:
        return not any(
            name in self._withheld.get(type_url, ()) for type_url, name in references(resource)
        )

    def _has_its_clusters(self, route: Resource) -> bool:
        served = self._resources(CLUSTER)
        return all(name in served or self._older_cluster(name) for _, name in references(route))

    def _has_its_route(self, scope: Resource) -> bool:
        served = self._resources(ROUTE)
        return all(name in served for _, name in references(scope))

    def _older_cluster(self, name: str) -> tuple[Resource, ...]:
        """Return the cluster *name* and its endpoints as last accepted; empty if not whole."""
        cluster = self._last_accepted(CLUSTER, name, lambda _resource: True)
        if cluster is None:
            return ()
        parts = [self._last_accepted(url, n, lambda _r: True) for url, n in references(cluster)]
        found = [part for part in parts if part is not None]
        return (cluster, *found) if len(found) == len(parts) else ()

    def _restore_clusters(self) -> None:
        """Serve the clusters, gone or going by now, that the older versions of routes lead to."""
        desired = self._desired.types[ROUTE].resources
        for name, route in self._types.get(ROUTE, {}).items():
            if route is desired.get(name):
                continue
            for _, cluster in references(route):
                if cluster not in self._resources(CLUSTER):
                    for part in self._older_cluster(cluster):
                        self._mutable(part.type_url)[part.name] = part
                servers = self._resources(ENDPOINT).get(cluster)
                if servers is not None and servers.undrained is not None:
                    self._mutable(ENDPOINT)[cluster] = servers.undrained

    def _last_accepted(
        self, type_url: TypeUrl, name: str, works: Callable[[Resource], bool]
    ) -> Resource | None:
        versions = self._accepted.get((type_url, name)) or {}
        for resource in reversed(versions.values()):
            if refusal_key(resource) not in self._refused and works(resource):
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
