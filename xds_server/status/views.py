"""What `GET /status` answers: the field names of these dataclasses are its JSON keys.

Pure: does not know HTTP, nor where the facts come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from xds_server.fleet import NodeStatus


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


def status_view(
    revision: str,
    path: str,
    loaded_at: datetime,
    error: str | None,
    nodes: Iterable[NodeStatus],
) -> StatusView:
    """Return the view of these facts."""
    at = loaded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    in_order = tuple(sorted(nodes, key=lambda node: (node.id, node.cluster)))
    return StatusView(revision, RegistryView(path, at, error), in_order)
