"""Certificates for tests: an authority of their own, and what it signs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        builder = _builder(self._name, self._name, self._key.public_key(), timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(
        self,
        name: str,
        lasts: timedelta = timedelta(days=1),
        more: Sequence[x509.GeneralName] = (),
    ) -> tuple[bytes, bytes]:
        """Return certificate and key for the DNS name *name* and *more* names, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_named(name), self._name, key.public_key(), lasts)
        names = x509.SubjectAlternativeName([x509.DNSName(name), *more])
        certificate = builder.add_extension(names, False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), private

    def write(self, folder: Path, stem: str, name: str, **options: Any) -> tuple[Path, Path]:
        """Put a certificate for *name* and its key into *folder*, as an atomic replacement."""
        paths = folder / f"{stem}.pem", folder / f"{stem}.key"
        for path, content in zip(paths, self.issue(name, **options), strict=True):
            replace(path, content)
        return paths


def replace(path: Path, content: bytes) -> None:
    """Write a new file and rename it over *path*."""
    fresh = path.with_name(path.name + "~")
    fresh.write_bytes(content)
    fresh.replace(path)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(subject: Any, issuer: Any, key: Any, lasts: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lasts)
    )
