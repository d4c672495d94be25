"""What every Envoy of the fleet runs, as far as its ACKs and refusals tell."""

from __future__ import annotations

from dataclasses import dataclass


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
