"""What can happen to a stream, and what is written to it; field names are the wire's.

Does not know protobuf: `xds_server.ads` converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import TypeUrl


@dataclass(frozen=True, slots=True)
class SotwRequest:
    """A `DiscoveryRequest` without its node."""

    type_url: TypeUrl
    resource_names: tuple[str, ...] = ()
    version_info: str = ""
    response_nonce: str = ""
    error_detail: str | None = None
    """Envoy's words if this is a NACK."""


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """A `DeltaDiscoveryRequest` without its node."""

    type_url: TypeUrl
    resource_names_subscribe: tuple[str, ...] = ()
    resource_names_unsubscribe: tuple[str, ...] = ()
    initial_resource_versions: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )
    response_nonce: str = ""
    error_detail: str | None = None
    """Envoy's words if this is a NACK."""


@dataclass(frozen=True, slots=True)
class SotwResponse:
    """A `DiscoveryResponse`."""

    type_url: TypeUrl
    version_info: str
    resources: tuple[Resource, ...]
    nonce: str


@dataclass(frozen=True, slots=True)
class DeltaResponse:
    """A `DeltaDiscoveryResponse`."""

    type_url: TypeUrl
    system_version_info: str
    resources: tuple[Resource, ...]
    removed_resources: tuple[str, ...]
    nonce: str


@dataclass(frozen=True, slots=True)
class Served:
    """What is served to a node in place of the snapshot that it should have."""

    snapshot: NodeSnapshot
    withheld: Mapping[TypeUrl, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Names about which nothing is said: a client keeps what it holds under them."""


class Verdict(Enum):
    """What a request turned out to be."""

    FIRST = auto()
    """The first request for its type on this stream."""
    ACK = auto()
    NACK = auto()
    UPDATE = auto()
    """Only the subscription may have changed."""
    STALE = auto()
    """It answers a nonce that no longer waits for an answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """What a session made of a request."""

    type_url: TypeUrl
    verdict: Verdict
    accepted: tuple[Resource, ...] = ()
    """What the client now holds because of this request."""
    refused: tuple[Resource, ...] = ()
    """What the client will not take; empty for a NACK of a response that changed nothing."""
    suspects: tuple[Resource, ...] = ()
    """What was refused in words that do not tell which of it is to blame; that will be found."""
    error_detail: str = ""
