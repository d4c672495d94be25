"""How an Envoy proves to the control plane who it is, and knows the control plane.

Envoy reads all files itself: no secret stands in a bootstrap. Sources: "Common TLS configuration"
of the API reference, "Credential injector" of Envoy's docs. The metadata of a `GrpcService` could
hold a token itself only: Envoy 1.40 reads no file there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xds_server.quoted import Quoted

_TOKEN = "modelyard-xds-token"  # noqa: S105 - the name of it
_GENERIC = "envoy.extensions.http.injected_credentials.generic.v3.Generic"
_INJECTOR = "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
_CODEC = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


@dataclass(frozen=True, slots=True)
class XdsCredentials:
    """Paths of files on the machine of the Envoy; without any, it speaks in clear."""

    ca: str = ""
    """The authorities of the control plane's certificate, in PEM."""
    certificate: str = ""
    key: str = ""
    token_file: str = ""


def secrets(credentials: XdsCredentials) -> dict[str, Any]:
    """Return the part of `static_resources` by which Envoy reads the token, if there is one."""
    if not credentials.token_file:
        return {}
    token = {"secret": {"filename": Quoted(credentials.token_file)}}
    return {"secrets": [{"name": _TOKEN, "generic_secret": token}]}


def http_filters(credentials: XdsCredentials) -> dict[str, Any]:
    """Return the part of HTTP protocol options that shows the token, if there is one."""
    if not credentials.token_file:
        return {}
    generic = {
        "@type": f"type.googleapis.com/{_GENERIC}",
        "credential": {"name": _TOKEN},
        "header_value_prefix": "Bearer ",
    }
    injector = {
        "@type": f"type.googleapis.com/{_INJECTOR}",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": generic,
        },
    }
    codec = {"@type": f"type.googleapis.com/{_CODEC}"}
    return {
        "http_filters": [
            {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
            {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
        ]
    }


def transport_socket(credentials: XdsCredentials, hosts: Sequence[str]) -> dict[str, Any]:
    """Return the part of a cluster by which it speaks TLS to *hosts*, if it is to."""
    if not credentials.ca:
        return {}
    trusted: dict[str, Any] = {
        "trusted_ca": {"filename": Quoted(credentials.ca)},
        "match_typed_subject_alt_names": [_name(host) for host in hosts],
    }
    common: dict[str, Any] = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": trusted,
    }
    if credentials.certificate:
        own = {
            "certificate_chain": {"filename": Quoted(credentials.certificate)},
            "private_key": {"filename": Quoted(credentials.key)},
        }
        common["tls_certificates"] = [own]
    context: dict[str, Any] = {
        "@type": f"type.googleapis.com/{_TLS_CONTEXT}",
        "common_tls_context": common,
    }
    named = [host for host in hosts if not _is_ip(host)]
    if named:
        context["sni"] = Quoted(named[0])
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def _name(host: str) -> dict[str, Any]:
    kind = "IP_ADDRESS" if _is_ip(host) else "DNS"
    return {"san_type": kind, "matcher": {"exact": Quoted(host)}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
