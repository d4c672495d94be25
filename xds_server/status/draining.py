"""What `GET /status` tells of pools and servers on their way out; its field names are JSON keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from xds_server.moments import Moment
from xds_server.node_status import written
from xds_server.reload.drains import Drain


@dataclass(frozen=True, slots=True)
class WaitView:
    """An Envoy that keeps something from being gone."""

    node: str
    why: str
    """Of `xds_server.reload.drains.Why`."""
    in_progress: int


@dataclass(frozen=True, slots=True)
class DrainingView:
    """A pool, or a server of a pool, that has left the registry and is not gone yet."""

    what: str
    """In words."""
    pool: str
    server: str | None
    """None: the whole pool."""
    gateway: str
    """The `node_cluster` of the Envoys that it leaves."""
    stage: str
    """`routes`: Envoys are taking the routes away that lead there; `draining`: it gets no new
    requests."""
    since: str
    """When it left the registry; ISO 8601, UTC."""
    until: str
    """When it goes at the latest."""
    in_progress: int
    """Requests that the Envoys which report say are in progress there."""
    waiting: int
    """How many Envoys have not taken the edit, or not said that nothing is in progress."""
    waits_for: tuple[WaitView, ...]
    """The first ten of them."""


def draining_views(
    drains: Iterable[Drain], longest_s: float, now: Moment
) -> tuple[DrainingView, ...]:
    """Return the views at *now* of *drains*, each of which lasts *longest_s* at most."""
    longest = timedelta(seconds=longest_s)
    return tuple(_view(drain, drain.since.told(now), longest) for drain in drains)


def _view(drain: Drain, since: datetime, longest: timedelta) -> DrainingView:
    leaving = drain.leaving
    return DrainingView(
        what=leaving.title,
        pool=leaving.pool,
        server=leaving.address,
        gateway=leaving.group,
        stage="draining" if drain.is_draining else "routes",
        since=written(since),
        until=written(since + longest),
        in_progress=drain.in_progress,
        waiting=drain.waiting,
        waits_for=tuple(WaitView(w.node_id, w.why, w.in_progress) for w in drain.waits_for),
    )
