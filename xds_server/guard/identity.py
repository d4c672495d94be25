"""Which node ids a certificate allows: those that its alternative names spell.

The rule: a node id is allowed if a DNS name or URI of the certificate's subjectAltName is equal to
it. A `*` in such a name stands for one or more characters that are neither `.` nor `/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography import x509


def names_of(certificate: bytes) -> tuple[str, ...]:
    """Return the DNS names and URIs of a *certificate* in PEM; none if it has no such names."""
    try:
        parsed = x509.load_pem_x509_certificate(certificate)
        found = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return ()
    dns: list[str] = found.get_values_for_type(x509.DNSName)
    uris: list[str] = found.get_values_for_type(x509.UniformResourceIdentifier)
    return (*dns, *uris)


def allows(names: Iterable[str], node_id: str) -> bool:
    """Return whether a certificate for *names* allows its holder to be the node *node_id*."""
    return any(name == node_id or _matches(name, node_id) for name in names)


def _matches(name: str, node_id: str) -> bool:
    pattern = "[^./]+".join(map(re.escape, name.split("*")))
    return "*" in name and re.fullmatch(pattern, node_id) is not None
