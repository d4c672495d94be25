"""What is told of an Envoy: the field names of these dataclasses are the keys of `GET /status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refusal (NACK) that still stands."""

    type_url: str
    resource: str
    """Name of the refused resource; empty if Envoy's words do not tell which."""
    error_detail: str
    """Envoy's words."""
    registry_place: str
    """Where it comes from, such as `registry.yaml:12:3 (pools.llama-1b)`; empty if unknown."""


@dataclass(frozen=True, slots=True)
class PastRejection(Rejection):
    """The last refusal of a node, whether or not it still stands."""

    at: str
    """When it came; ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class RejectionElsewhere(Rejection):
    """What another node refused, so that this one is not given it."""

    by: str
    """The id of that one."""


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """How far a node is with one of the types that it asked for."""

    type: str
    """The service: `cds`, `eds`, `sds`, `lds`, `srds` or `rds`."""
    sent: str | None
    """The version that was last sent on this connection; None if nothing had to be."""
    acked: str | None
    """The version of which the node has ACKed all that it asked for."""
    converged: bool
    """Whether that is the current version."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One Envoy, as `GET /status` tells it; field names are the JSON keys."""

    id: str
    cluster: str
    connected: bool
    variant: str
    """`delta` or `sotw`."""
    envoy_version: str
    revision: str | None
    """The newest revision of which the node has ACKed every type it asked for."""
    converged: bool
    """Whether that is the current revision."""
    rejected: Rejection | None
    gateway: str = ""
    """The gateway of the registry that it gets; empty if none."""
    connected_at: str = ""
    """When its newest stream opened; ISO 8601, UTC."""
    disconnected_at: str | None = None
    """When that ended; None while it is connected."""
    types: tuple[TypeStatus, ...] = ()
    last_rejected: PastRejection | None = None
    kept_from: RejectionElsewhere | None = None
    """Why it is not given all of the current revision, if it has refused nothing itself."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the connected nodes are with the published revision."""

    connected: int
    converged: int
    behind: tuple[str, ...]
    """Ids of the nodes that have not ACKed all of it, in order."""
    converged_at: float
    """When the last of the others did, by the fleet's clock; 0 if there are none."""


def written(at: datetime) -> str:
    """Return *at*, which is in UTC, as ISO 8601 to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
