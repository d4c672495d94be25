"""Where an encoded cluster or listener asks for secrets: they are to be found beside it, by name.

Source: "Secret discovery service (SDS)" of Envoy's docs: without `sds_config`, a secret is static.
"""

from __future__ import annotations

from typing import Any, Final

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.credential_injector.v3.credential_injector_pb2 import (
    CredentialInjector,
)
from envoy.extensions.http.injected_credentials.generic.v3.generic_pb2 import Generic
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from snapshots.secret_references import secrets_of

TLS_SOCKET: Final = "envoy.transport_sockets.tls"


def localize_cluster(cluster: Cluster, missing: frozenset[str]) -> None:
    """Have *cluster* find its secrets beside it; what needs one that is *missing* is taken out."""
    if _needs(cluster.transport_socket, missing):
        cluster.ClearField("transport_socket")
    _localize_socket(cluster.transport_socket, UpstreamTlsContext())
    for packed in cluster.typed_extension_protocol_options.values():
        options = HttpProtocolOptions()
        if packed.Unpack(options):
            _localize_filters(options, missing)
            packed.Pack(options)


def secret_probe(secret: Secret) -> Cluster:
    """Return a cluster that makes Envoy look at *secret*, which it does to nothing unused."""
    probe = Cluster(name=f"preflight/{secret.name}", type=Cluster.STATIC)
    probe.load_assignment.cluster_name = probe.name
    context = UpstreamTlsContext()
    if secret.HasField("tls_certificate"):
        context.common_tls_context.tls_certificate_sds_secret_configs.add(name=secret.name)
    elif secret.HasField("validation_context"):
        context.common_tls_context.validation_context_sds_secret_config.name = secret.name
    probe.transport_socket.name = TLS_SOCKET
    probe.transport_socket.typed_config.Pack(context)
    return probe


def localize_listener(listener: Listener, missing: frozenset[str]) -> None:
    """Have *listener* find its secrets beside it; what needs one that is *missing* is taken out."""
    for chain in listener.filter_chains:
        if _needs(chain.transport_socket, missing):
            chain.ClearField("transport_socket")
        _localize_socket(chain.transport_socket, DownstreamTlsContext())


def _needs(socket: TransportSocket, missing: frozenset[str]) -> bool:
    return any(name in missing for _, name in secrets_of(socket))


def _localize_socket(socket: TransportSocket, context: Any) -> None:  # noqa: ANN401 - generated
    if not socket.typed_config.Unpack(context):
        return
    common = context.common_tls_context
    for config in common.tls_certificate_sds_secret_configs:
        config.ClearField("sds_config")
    if common.HasField("validation_context_sds_secret_config"):
        common.validation_context_sds_secret_config.ClearField("sds_config")
    socket.typed_config.Pack(context)


def _localize_filters(options: HttpProtocolOptions, missing: frozenset[str]) -> None:
    kept = []
    for http_filter in options.http_filters:
        injector, generic = CredentialInjector(), Generic()
        if http_filter.typed_config.Unpack(injector):
            injector.credential.typed_config.Unpack(generic)
            if generic.credential.name in missing:
                continue
            generic.credential.ClearField("sds_config")
            injector.credential.typed_config.Pack(generic)
            http_filter.typed_config.Pack(injector)
        kept.append(http_filter)
    del options.http_filters[:]
    options.http_filters.extend(kept)
