"""Which secrets an encoded cluster or listener asks for, read back from its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.filters.http.credential_injector.v3.credential_injector_pb2 import (
    CredentialInjector,
)
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.http.injected_credentials.generic.v3.generic_pb2 import Generic
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from snapshots.type_urls import SECRET, TypeUrl

_CONTEXTS = (DownstreamTlsContext, UpstreamTlsContext)


def secrets_of(socket: TransportSocket) -> Iterator[tuple[TypeUrl, str]]:
    """Yield the type and name of each secret that *socket* asks for."""
    for context in _CONTEXTS:
        if socket.typed_config.Is(context.DESCRIPTOR):
            read = context()
            socket.typed_config.Unpack(read)
            yield from _names(read.common_tls_context)


def secrets_of_filters(cluster: Cluster) -> Iterator[tuple[TypeUrl, str]]:
    """Yield the type and name of each secret that an upstream filter of *cluster* asks for."""
    for packed in cluster.typed_extension_protocol_options.values():
        options = HttpProtocolOptions()
        if packed.Unpack(options):
            for http_filter in options.http_filters:
                yield from _of_injector(http_filter)


def _of_injector(http_filter: hcm.HttpFilter) -> Iterator[tuple[TypeUrl, str]]:
    injector, generic = CredentialInjector(), Generic()
    if http_filter.typed_config.Unpack(injector):
        injector.credential.typed_config.Unpack(generic)
        yield SECRET, generic.credential.name


def _names(common: CommonTlsContext) -> Iterator[tuple[TypeUrl, str]]:
    for config in common.tls_certificate_sds_secret_configs:
        yield SECRET, config.name
    if common.HasField("validation_context_sds_secret_config"):
        yield SECRET, common.validation_context_sds_secret_config.name
