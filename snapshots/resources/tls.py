"""TLS towards clients and towards servers; certificates travel by SDS.

Changing a file changes the secret alone: neither cluster nor listener, so no connection ends.

Source: "TLS" of Envoy's architecture overview, "Common TLS configuration (proto)", and "Configuring
Envoy as an edge proxy".
"""

from __future__ import annotations

from typing import Final

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from snapshots.ir.secrets import ListenerTls, Secret, UpstreamTls
from snapshots.resources.encode import pack
from snapshots.resources.secrets import by_sds

TLS_SOCKET: Final = "envoy.transport_sockets.tls"
LISTENER_ALPN: Final = ["h2", "http/1.1"]
UPSTREAM_ALPN: Final = ["http/1.1"]
CIPHERS: Final = [
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
    "[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
]
"""Of TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are fixed."""
VERSIONS: Final = {
    "1.2": tls_v3.TlsParametersTlsProtocol.TLSv1_2,
    "1.3": tls_v3.TlsParametersTlsProtocol.TLSv1_3,
}


def listener_socket(tls: ListenerTls) -> core_v3.TransportSocket:
    """Return the transport socket of a filter chain for *tls*."""
    context = tls_v3.DownstreamTlsContext(
        common_tls_context=_common(
            LISTENER_ALPN, tls.min_version, tls.certificate, tls.client_authorities
        )
    )
    if tls.client_authorities:
        context.require_client_certificate = tls.require_client_certificate
    return core_v3.TransportSocket(name=TLS_SOCKET, typed_config=pack(context))


def upstream_socket(tls: UpstreamTls, *, http2: bool = False) -> core_v3.TransportSocket:
    """Return the transport socket of a cluster for *tls*: the server's name is verified always."""
    context = tls_v3.UpstreamTlsContext(
        common_tls_context=_common(
            ["h2"] if http2 else UPSTREAM_ALPN, "1.2", tls.certificate, tls.authorities
        ),
        sni=tls.server_name,
        auto_host_sni=not tls.server_name,
        auto_sni_san_validation=True,
    )
    return core_v3.TransportSocket(name=TLS_SOCKET, typed_config=pack(context))


def _common(
    alpn: list[str], min_version: str, certificate: Secret | None, authorities: Secret | None
) -> tls_v3.CommonTlsContext:
    parameters = tls_v3.TlsParameters(
        tls_minimum_protocol_version=VERSIONS[min_version],
        tls_maximum_protocol_version=VERSIONS["1.3"],
        cipher_suites=CIPHERS,
    )
    return tls_v3.CommonTlsContext(
        tls_params=parameters,
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[by_sds(certificate)] if certificate else [],
        validation_context_sds_secret_config=by_sds(authorities) if authorities else None,
    )
