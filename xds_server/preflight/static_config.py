"""A snapshot as a bootstrap that asks nobody for anything: what `envoy --mode validate` can judge.

Every resource stands in it as it would be sent, but for where the others come from: scopes hold
their RouteConfigurations, clusters their endpoints, and secrets are found by name (`localize`).
Pure.

Source: "Bootstrap (proto)", "HTTP scoped routing configuration (proto)" and "Secret discovery
service (SDS)" of Envoy's docs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.access_loggers.file.v3.file_pb2 import FileAccessLog
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from snapshots.ir import names
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET, TypeUrl
from xds_server.preflight.localize import localize_cluster, localize_listener, secret_probe

NOWHERE: Final = "/dev/null"
"""Where access logs go: a check must not write to the files of this machine."""
HTTP_PROTOCOL_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MANAGER: Final = "envoy.filters.network.http_connection_manager"

Key = tuple[TypeUrl, str]
"""Type and name of a resource."""


def keys_of(node: NodeSnapshot) -> frozenset[Key]:
    """Return the keys of all resources of *node*."""
    return frozenset(
        (url, name) for url, of_type in node.types.items() for name in of_type.resources
    )


def static_config(
    node: NodeSnapshot, meant: frozenset[Key], left_out: frozenset[Key] = frozenset()
) -> Bootstrap:
    """Return the bootstrap with the resources of *node* that are *meant*, and what holds them.

    In the place of what is *left_out* stands something plain, where there must be something.
    """
    return _Composer(node, meant, left_out).bootstrap()


class _Composer:
    """Composes one bootstrap."""

    def __init__(self, node: NodeSnapshot, meant: frozenset[Key], left_out: frozenset[Key]) -> None:
        self._node = node
        self._meant = meant
        self._left_out = left_out
        self._is_part = bool(keys_of(node) - meant)

    def bootstrap(self) -> Bootstrap:
        bootstrap = Bootstrap()
        bootstrap.node.id = bootstrap.node.cluster = "preflight"
        static = bootstrap.static_resources
        static.clusters.append(_companion())
        static.clusters.extend(self._clusters())
        for secret in self._node.types[SECRET].resources.values():
            if self._usable(secret):
                static.secrets.append(Secret.FromString(secret.body))
                static.clusters.append(secret_probe(static.secrets[-1]))
        static.listeners.extend(self._listeners())
        return bootstrap

    def _is_meant(self, type_url: TypeUrl, name: str) -> bool:
        return (type_url, name) in self._meant

    def _usable(self, resource: Resource) -> bool:
        return (resource.type_url, resource.name) not in self._left_out

    def _missing_secrets(self) -> frozenset[str]:
        return frozenset(name for url, name in self._left_out if url == SECRET)

    # --- clusters ---

    def _clusters(self) -> Iterator[Cluster]:
        """Yield each cluster that is meant itself, or its endpoints."""
        endpoints = self._node.types[ENDPOINT].resources
        for name, resource in self._node.types[CLUSTER].resources.items():
            if not (self._is_meant(CLUSTER, name) or self._is_meant(ENDPOINT, name)):
                continue
            cluster = Cluster(name=name, type=Cluster.EDS)
            if self._usable(resource):
                cluster = Cluster.FromString(resource.body)
                localize_cluster(cluster, self._missing_secrets())
            if cluster.type == Cluster.EDS and name in endpoints:
                _hold_endpoints(cluster, endpoints[name] if self._usable(endpoints[name]) else None)
            yield cluster

    # --- listener and routes ---

    def _listeners(self) -> Iterator[Listener]:
        """Yield the listener, with all scopes that are meant."""
        scopes = tuple(self._scopes())
        for resource in self._node.types[LISTENER].resources.values():
            listener = _plain_listener(resource.name)
            if self._usable(resource):
                listener = Listener.FromString(resource.body)
                localize_listener(listener, self._missing_secrets())
            for chain in listener.filter_chains:
                for network_filter in chain.filters:
                    manager = hcm.HttpConnectionManager()
                    if network_filter.typed_config.Unpack(manager):
                        _hold_scopes(manager, scopes)
                        network_filter.typed_config.Pack(manager)
            yield listener

    def _scopes(self) -> Iterator[ScopedRouteConfiguration]:
        """Yield each scope that is meant itself, or its routes, with its routes inside."""
        routes = self._node.types[ROUTE].resources
        for resource in self._node.types[SCOPED_ROUTE].resources.values():
            name = _routes_of(resource)
            if not (self._is_meant(SCOPED_ROUTE, resource.name) or self._is_meant(ROUTE, name)):
                continue
            if self._usable(resource):
                scope = ScopedRouteConfiguration.FromString(resource.body)
            else:
                scope = ScopedRouteConfiguration(name=resource.name)
                scope.key.fragments.add().string_key = resource.name
            scope.ClearField("route_configuration_name")
            scope.route_configuration.CopyFrom(self._routes(routes[name]))
            yield scope

    def _routes(self, resource: Resource) -> RouteConfiguration:
        if not self._usable(resource):
            return RouteConfiguration(name=resource.name)
        read = RouteConfiguration.FromString(resource.body)
        if self._is_part:  # they may lead to clusters that stay as they are
            read.validate_clusters.value = False
        return read


def _routes_of(scope: Resource) -> str:
    name: str = ScopedRouteConfiguration.FromString(scope.body).route_configuration_name
    return name


def _companion() -> Cluster:
    """Return the cluster that an Envoy has from its own bootstrap."""
    options = HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.SetInParent()
    companion = Cluster(name=names.EXT_PROC_CLUSTER, type=Cluster.STATIC)
    companion.load_assignment.cluster_name = names.EXT_PROC_CLUSTER
    companion.typed_extension_protocol_options[HTTP_PROTOCOL_OPTIONS].Pack(options)
    return companion


def _hold_endpoints(cluster: Cluster, endpoints: Resource | None) -> None:
    cluster.type = Cluster.STATIC
    cluster.ClearField("eds_cluster_config")
    if endpoints:
        cluster.load_assignment.CopyFrom(ClusterLoadAssignment.FromString(endpoints.body))
    cluster.load_assignment.cluster_name = cluster.name


def _plain_listener(name: str) -> Listener:
    """Return what holds scopes, and does nothing else."""
    manager = hcm.HttpConnectionManager(stat_prefix="preflight")
    manager.scoped_routes.name = "models"
    extractor = manager.scoped_routes.scope_key_builder.fragments.add().header_value_extractor
    extractor.name = names.MODEL_HEADER
    extractor.index = 0
    manager.http_filters.add(name=names.ROUTER_FILTER).typed_config.Pack(Router())
    listener = Listener(name=name)
    listener.address.socket_address.address = "127.0.0.1"
    listener.address.socket_address.port_value = 0
    listener.filter_chains.add().filters.add(name=MANAGER).typed_config.Pack(manager)
    return listener


def _hold_scopes(
    manager: hcm.HttpConnectionManager, scopes: tuple[ScopedRouteConfiguration, ...]
) -> None:
    for access_log in manager.access_log:
        _discard(access_log)
    routes = manager.scoped_routes
    routes.ClearField("rds_config_source")
    routes.ClearField("scoped_rds")
    held = routes.scoped_route_configurations_list.scoped_route_configurations
    held.extend(scopes)
    if not held:  # there must be one
        nobody = held.add(name="preflight")
        nobody.key.fragments.add().string_key = nobody.route_configuration.name = "preflight"


def _discard(access_log: AccessLog) -> None:
    """Have *access_log* go nowhere."""
    file = FileAccessLog()
    if access_log.typed_config.Unpack(file):
        file.path = NOWHERE
        access_log.typed_config.Pack(file)
