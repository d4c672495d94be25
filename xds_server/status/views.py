"""What `GET /status` answers: the field names of these dataclasses are its JSON keys.

Pure: does not know HTTP, nor where the facts come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from xds_server.node_status import NodeStatus, written
from xds_server.status.draining import DrainingView


@dataclass(frozen=True, slots=True)
class RegistryView:
    """The registry file."""

    path: str
    loaded_at: str
    """When the content that is served was read; ISO 8601, UTC."""
    error: str | None
    """Why a newer content is refused; the last good one serves meanwhile."""


@dataclass(frozen=True, slots=True)
class StatusView:
    """The control plane and its fleet at one moment."""

    revision: str
    registry: RegistryView
    nodes: tuple[NodeStatus, ...]
    """In the order of their ids."""
    draining: tuple[DrainingView, ...] = ()
    """What has left the registry and may still be at work for requests."""
    at: str = ""
    """When this was so; ISO 8601, UTC."""


def status_view(
    revision: str, registry: RegistryView, nodes: Iterable[NodeStatus], at: datetime
) -> StatusView:
    """Return the view of these facts, which are so *at* this time."""
    in_order = tuple(sorted(nodes, key=lambda node: (node.id, node.cluster)))
    return StatusView(revision, registry, in_order, at=written(at))
