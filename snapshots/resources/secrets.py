"""One secret for each certificate, set of authorities or credential: what SDS carries.

Source: "Secret discovery service (SDS)" and "Common TLS configuration (proto)" of Envoy's docs.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from snapshots.ir.secrets import Secret
from snapshots.material import Content
from snapshots.resources.parts import ADS


def build_secret(secret: Secret, contents: tuple[Content, ...]) -> tls_v3.Secret:
    """Return *secret* with the *contents* of its sources."""
    data = [core_v3.DataSource(inline_bytes=content.value) for content in contents]
    if secret.kind == "certificate":
        pair = tls_v3.TlsCertificate(certificate_chain=data[0], private_key=data[1])
        return tls_v3.Secret(name=secret.name, tls_certificate=pair)
    if secret.kind == "authorities":
        context = tls_v3.CertificateValidationContext(trusted_ca=data[0])
        return tls_v3.Secret(name=secret.name, validation_context=context)
    value = core_v3.DataSource(inline_bytes=secret.prefix.encode() + contents[0].value.strip())
    generic = tls_v3.GenericSecret(secret=value)
    return tls_v3.Secret(name=secret.name, generic_secret=generic)


def by_sds(secret: Secret) -> tls_v3.SdsSecretConfig:
    """Return how another resource asks for *secret*: on the stream that brought it."""
    return tls_v3.SdsSecretConfig(name=secret.name, sds_config=ADS)
