"""Whether contents are what they should be, before any Envoy is told of them.

Envoy refuses what it cannot read, but it takes a certificate that has expired.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from snapshots.material import Form
from xds_server.secrets.problems import Fault

MAX_TEXT_CHARACTERS = 8192
"""Servers seldom take a longer header."""


def judge(form: Form, content: bytes, now: datetime) -> Fault | None:
    """Return why *content* does not have the *form* that is needed *now*; None if it does."""
    if not content.strip():
        return Fault("is empty", "write the secret into it")
    if form == "key":
        key = _key(content)
        return key if isinstance(key, Fault) else None
    return _judge_text(content) if form == "text" else _judge_certificates(form, content, now)


def _judge_certificates(form: Form, content: bytes, now: datetime) -> Fault | None:
    certificates = _certificates(content)
    if isinstance(certificates, Fault):
        return certificates
    faults = [fault for certificate in certificates if (fault := _in_time(certificate, now))]
    if form == "authorities" and len(faults) < len(certificates):
        return None  # bundles of authorities hold some old ones
    return faults[0] if faults else None


def judge_pair(certificate: bytes, key: bytes, called: str = "`certificate`") -> Fault | None:
    """Return why *key* is not that of *certificate*; both have been judged alone.

    *called* is what users call the certificate.
    """
    certificates, private = _certificates(certificate), _key(key)
    if isinstance(certificates, Fault) or isinstance(private, Fault):
        return None
    if _public(certificates[0]) == _public(private):
        return None
    if any(_public(other) == _public(private) for other in certificates[1:]):
        hint = "put the own certificate first, its authorities after it"
        return Fault(f"is the key of a certificate further down in {called}", hint)
    return Fault(f"is not the key of the certificate in {called}", "change both files together")


def _certificates(content: bytes) -> list[x509.Certificate] | Fault:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old authorities have odd serial numbers
            return x509.load_pem_x509_certificates(content)
    except ValueError:
        hint = "PEM begins with -----BEGIN CERTIFICATE-----"
        if b"PRIVATE KEY-----" in content:
            hint = "it holds a private key: are the two files mixed up?"
        return Fault("holds no certificate in PEM that can be read", hint)


def _key(content: bytes) -> PrivateKeyTypes | Fault:
    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        return Fault("is protected by a password, which Envoy cannot be asked for", "remove it")
    except Exception:  # noqa: BLE001 - several kinds; their words may show something of the key
        hint = "PEM begins with -----BEGIN PRIVATE KEY-----"
        if b"BEGIN CERTIFICATE-----" in content:
            hint = "it holds a certificate: are the two files mixed up?"
        return Fault("holds no private key in PEM that can be read", hint)


def _judge_text(content: bytes) -> Fault | None:
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        return Fault("is not ASCII text", "a header's value is one line of printable characters")
    if len(text) > MAX_TEXT_CHARACTERS:
        return Fault(f"is longer than {MAX_TEXT_CHARACTERS} characters", "is it the right one?")
    if text.isprintable():
        return None
    return Fault(
        "has more than one line, or control characters",
        "a header's value is one line of printable characters",
    )


def _in_time(certificate: x509.Certificate, now: datetime) -> Fault | None:
    name = certificate.subject.rfc4514_string()
    if certificate.not_valid_after_utc < now:
        at = certificate.not_valid_after_utc.isoformat()
        return Fault(f"the certificate of {name} expired at {at}", "renew it")
    if certificate.not_valid_before_utc > now:
        at = certificate.not_valid_before_utc.isoformat()
        return Fault(f"the certificate of {name} is not valid before {at}", "is the clock right?")
    return None


def _public(holder: x509.Certificate | PrivateKeyTypes) -> bytes:
    key = holder.public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def now_utc() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)
