"""Which secrets an encoded cluster or listener asks for, read back from its bytes."""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)

from snapshots.type_urls import SECRET, TypeUrl

_CONTEXTS = (DownstreamTlsContext, UpstreamTlsContext)


def secrets_of(socket: TransportSocket) -> Iterator[tuple[TypeUrl, str]]:
    """Yield the type and name of each secret that *socket* asks for."""
    for context in _CONTEXTS:
        if socket.typed_config.Is(context.DESCRIPTOR):
            read = context()
            socket.typed_config.Unpack(read)
            yield from _names(read.common_tls_context)


def _names(common: CommonTlsContext) -> Iterator[tuple[TypeUrl, str]]:
    for config in common.tls_certificate_sds_secret_configs:
        yield SECRET, config.name
    if common.HasField("validation_context_sds_secret_config"):
        yield SECRET, common.validation_context_sds_secret_config.name
