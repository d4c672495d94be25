"""Has the fleet taken a revision? What `GET /wait` answers; field names are its JSON keys.

Pure: does not wait, and does not know HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xds_server.node_status import NodeStatus
from xds_server.status.views import StatusView

TOLD = 20
"""How many nodes are told by name, of a number that may be large."""

Outcome = Literal["converged", "refused", "pending"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody waits for."""

    revision: str | None = None
    """None: that of the files as they are now."""
    nodes: int | None = None
    """How many connected nodes must have it; None: all of them, and one at least."""


@dataclass(frozen=True, slots=True)
class Some:
    """Nodes: how many there are, and the first of them."""

    count: int
    first: tuple[NodeStatus, ...]

    @classmethod
    def of(cls, nodes: Iterable[NodeStatus]) -> Some:
        """Return what is told of *nodes*."""
        every = tuple(nodes)
        return cls(len(every), every[:TOLD])


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far the fleet is with what somebody waits for."""

    outcome: Outcome
    revision: str
    """What the control plane serves."""
    read: bool
    """Whether the control plane has dealt with what the files hold now."""
    error: str | None
    """Why it refuses that, if it does."""
    connected: int
    converged: int
    """How many of the connected nodes run `revision`."""
    refusing: Some
    """Connected, and refusing a part of it, or not given one that others refuse."""
    behind: Some
    """Connected, and not there yet."""
    disconnected: Some
    """They are not waited for."""


def judge(view: StatusView, asked: Asked, *, read: bool) -> Verdict:
    """Return the verdict on what *view* tells; *read*: whether the files have been dealt with."""
    connected = [node for node in view.nodes if node.connected]
    converged = sum(node.converged for node in connected)
    refusing = [node for node in connected if node.rejected or node.kept_from]
    missing = [node for node in connected if not node.converged]
    behind = [node for node in missing if not node.rejected and not node.kept_from]
    return Verdict(
        outcome=_outcome(view, asked, (converged, len(refusing), len(behind)), read=read),
        revision=view.revision,
        read=read,
        error=view.registry.error,
        connected=len(connected),
        converged=converged,
        refusing=Some.of(refusing),
        behind=Some.of(behind),
        disconnected=Some.of(node for node in view.nodes if not node.connected),
    )


def _outcome(
    view: StatusView, asked: Asked, counts: tuple[int, int, int], *, read: bool
) -> Outcome:
    converged, refusing, behind = counts
    if asked.revision is None:
        if not read:
            return "pending"
        if view.registry.error is not None:
            return "refused"
    elif asked.revision != view.revision:
        return "pending"
    needed = max(1, converged + refusing + behind) if asked.nodes is None else asked.nodes
    if converged >= needed:
        return "converged"
    # Whoever else refuses it is told too, so those that have not answered are waited for.
    if refusing and not behind:
        return "refused"
    return "pending"
