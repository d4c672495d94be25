"""From what a registry says of TLS and credentials to the secrets that Envoy asks for."""

from __future__ import annotations

from snapshots.ir import names
from snapshots.ir.secrets import ListenerTls, Secret, UpstreamTls
from snapshots.material import SYSTEM_AUTHORITIES, Source
from snapshots.registry import schema

_SYSTEM = Secret(names.SYSTEM_AUTHORITIES, "authorities", (SYSTEM_AUTHORITIES,), origin=())


def listener_tls(gateway: str, tls: schema.ListenerTls) -> ListenerTls:
    """Return the TLS that *gateway* asks for towards its clients."""
    owner = ("gateways", gateway)
    authorities = _authorities(*owner, "client_ca", tls.client_ca) if tls.client_ca else None
    return ListenerTls(
        certificate=_certificate(*owner, tls.certificate, tls.key),
        client_authorities=authorities,
        require_client_certificate=authorities is not None and tls.require_client_certificate,
        min_version=tls.min_version,
    )


def upstream_tls(pool: str, tls: schema.UpstreamTls) -> UpstreamTls:
    """Return the TLS that *pool* asks for towards its servers."""
    certificate = None
    if tls.certificate and tls.key:
        certificate = _certificate("pools", pool, tls.certificate, tls.key)
    return UpstreamTls(
        authorities=_authorities("pools", pool, "ca", tls.ca) if tls.ca else _SYSTEM,
        server_name=tls.server_name or "",
        certificate=certificate,
    )


def _certificate(section: str, owner: str, certificate: str, key: str) -> Secret:
    return Secret(
        names.secret_name(section, owner, "certificate"),
        "certificate",
        (Source("file", certificate), Source("file", key)),
        (section, owner, "tls", "certificate"),
    )


def _authorities(section: str, owner: str, field: str, file: str) -> Secret:
    name = names.secret_name(section, owner, field)
    return Secret(name, "authorities", (Source("file", file),), (section, owner, "tls", field))
