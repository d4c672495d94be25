"""What a gateway's Envoys are told as secrets, by name; the contents are not known here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snapshots.material import Source


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret, and where its contents are kept."""

    name: str
    kind: Literal["certificate", "authorities", "credential"]
    sources: tuple[Source, ...]
    """Of a certificate: its own and that of its key. Else one."""
    origin: tuple[str, ...]
    """The registry entry that asks for it."""
    prefix: str = ""
    """What stands before the content of a credential."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a pool's servers are shown with each request."""

    header: str
    """In lower case."""
    secret: Secret


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """TLS towards clients."""

    certificate: Secret
    client_authorities: Secret | None
    """Who signs the certificates of clients; None: these are not asked for."""
    require_client_certificate: bool
    min_version: Literal["1.2", "1.3"]


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS towards a pool's servers."""

    authorities: Secret
    server_name: str
    """What the servers' certificates must hold; empty: each server's own DNS name."""
    certificate: Secret | None
    """What is shown to servers that ask for one."""
