"""Registry in, snapshot out: the only composition of the stages. No stage calls the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import ParamSpec

from snapshots.consistency import check_consistency
from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.secrets import Secret
from snapshots.ir.secrets_of import secrets_of
from snapshots.ir.translate import translate
from snapshots.material import NO_MATERIAL, Content, Material
from snapshots.registry.client_keys import digest_keys
from snapshots.registry.schema import Registry
from snapshots.resources.clusters import build_cluster, build_no_model_cluster
from snapshots.resources.encode import encode
from snapshots.resources.endpoints import build_load_assignment
from snapshots.resources.listeners import build_listener
from snapshots.resources.no_model_routes import build_no_model_routes
from snapshots.resources.parts import cluster_of
from snapshots.resources.routes import build_model_routes, build_scope
from snapshots.resources.secrets import build_secret
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET

Arguments = ParamSpec("Arguments")


class SnapshotBuilder:
    """Builds snapshots, and remembers the encoded resources of the last one.

    What is unchanged since then is not built again: it is found by the part of the intermediate
    representation that it comes from.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, tuple[Hashable, Resource]] = {}
        """With the key of the build that made it: the equal key of a later one would keep much of
        its intermediate representation alive, and the garbage collector busy."""
        self._now: dict[Hashable, tuple[Hashable, Resource]] = {}
        self._material = NO_MATERIAL

    def build(self, registry: Registry, material: Material = NO_MATERIAL) -> Snapshot:
        """Return the snapshot that *registry* asks for; equal registries give equal snapshots.

        *material* holds what every source that the registry mentions holds.
        """
        intent = translate(registry, digest_keys(registry, material)[0])
        self._now = {}
        self._material = material
        nodes = {g.nodes.key: self._node_snapshot(g) for g in intent.gateways}
        for node in nodes.values():
            check_consistency(node)
        self._last = self._now
        return Snapshot.of(nodes, [gateway.nodes for gateway in intent.gateways])

    def _node_snapshot(self, gateway: ir.Gateway) -> NodeSnapshot:
        types = {
            CLUSTER: TypeSnapshot.of(self._clusters(gateway)),
            ENDPOINT: TypeSnapshot.of(self._endpoints(gateway)),
            SECRET: TypeSnapshot.of(self._secrets(gateway)),
            LISTENER: TypeSnapshot.of([self._listener(gateway)]),
            SCOPED_ROUTE: TypeSnapshot.of(self._scopes(gateway)),
            ROUTE: TypeSnapshot.of(self._routes(gateway)),
        }
        return NodeSnapshot.of(gateway.name, types)

    def _intern(
        self,
        key: Hashable,
        build: Callable[Arguments, Resource],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Resource:
        entry = self._now.get(key) or self._last.get(key) or (key, build(*args, **kwargs))
        first_key, resource = entry
        self._now[first_key] = entry
        return resource

    def _clusters(self, gateway: ir.Gateway) -> Iterator[Resource]:
        yield self._intern(CLUSTER, _no_model_cluster)
        for pool in (*gateway.pools, *gateway.shadows):
            yield self._intern((CLUSTER, _cluster_part(pool)), _cluster, pool)

    def _endpoints(self, gateway: ir.Gateway) -> Iterator[Resource]:
        for pool in (*gateway.pools, *gateway.shadows):
            if not pool.by_dns:
                key = (ENDPOINT, cluster_of(pool), pool.endpoints)
                yield self._intern(key, _load_assignment, pool)

    def _secrets(self, gateway: ir.Gateway) -> Iterator[Resource]:
        for secret in secrets_of(gateway):
            contents = tuple(self._material[source] for source in secret.sources)
            yield self._intern((SECRET, secret, contents), _secret, secret, contents)

    def _listener(self, gateway: ir.Gateway) -> Resource:
        part = (
            gateway.name,
            gateway.host,
            gateway.port,
            gateway.extraction,
            gateway.default_model,
            gateway.has_wildcards,
            gateway.knows_first_pools,
            gateway.has_bounds,
            gateway.prefix_bytes,
            bool(gateway.clients),
            gateway.limits_clients,
            gateway.limits_models,
            gateway.sheds,
            gateway.access_log,
            gateway.tls,
            gateway.edge,
        )
        return self._intern((LISTENER, part), _listener, gateway)

    def _scopes(self, gateway: ir.Gateway) -> Iterator[Resource]:
        yield self._intern(SCOPED_ROUTE, _scope, names.NO_MODEL_ROUTES, names.NO_MODEL, ())
        for route in gateway.routes:
            name = names.route_name(route.name)
            key = (SCOPED_ROUTE, route.name, route.origin)
            yield self._intern(key, _scope, name, names.scope_key(route.name), route.origin)

    def _routes(self, gateway: ir.Gateway) -> Iterator[Resource]:
        shared = (ROUTE, gateway.extraction, gateway.response_headers, gateway.has_wildcards)
        all_names = tuple((r.name, r.base_model, r.restriction) for r in gateway.routes)
        no_model = (shared, all_names, gateway.path_routes, gateway.clients)
        yield self._intern(no_model, _no_model_routes, gateway)
        for route in gateway.routes:
            yield self._intern((shared, route), _model_routes, route, gateway)


def _cluster_part(pool: ir.Pool) -> Hashable:
    """Return what the cluster of *pool* depends on: not its endpoints, if those travel by EDS."""
    endpoints = pool.endpoints if pool.by_dns else ()
    return replace(pool, endpoints=endpoints)


def _no_model_cluster() -> Resource:
    return encode(names.NO_MODEL_CLUSTER, build_no_model_cluster())


def _cluster(pool: ir.Pool) -> Resource:
    return encode(cluster_of(pool), build_cluster(pool), _origin(pool))


def _load_assignment(pool: ir.Pool) -> Resource:
    origin = (*_origin(pool), "endpoints")
    return encode(cluster_of(pool), build_load_assignment(pool), origin)


def _origin(pool: ir.Pool) -> tuple[str, ...]:
    return ("pools", pool.name)


def _secret(secret: Secret, contents: tuple[Content, ...]) -> Resource:
    return encode(secret.name, build_secret(secret, contents), secret.origin)


def _listener(gateway: ir.Gateway) -> Resource:
    origin = ("gateways", gateway.name)
    return encode(names.listener_name(gateway.name), build_listener(gateway), origin)


def _scope(name: str, key: str, origin: tuple[str, ...]) -> Resource:
    return encode(name, build_scope(name, key), origin)


def _no_model_routes(gateway: ir.Gateway) -> Resource:
    return encode(names.NO_MODEL_ROUTES, build_no_model_routes(gateway))


def _model_routes(route: ir.Route, gateway: ir.Gateway) -> Resource:
    routes = build_model_routes(
        route,
        gateway.extraction,
        response_headers=gateway.response_headers,
        has_wildcards=gateway.has_wildcards,
    )
    return encode(names.route_name(route.name), routes, route.origin)
