"""What is leaving by and by, and the decision how far each is. Told the time; waits for nothing.

A pool or server that leaves the registry is served on until every Envoy has taken the edit and
says, by its load reports, that nothing is in progress there; but not longer than its deadline. An
Envoy that does not report has it kept for that long, and so does one that was connected just now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from snapshots.leaving import (
    Leaving,
    changed_clusters,
    is_back,
    leaving,
    servers_left_behind,
    with_leaving,
)
from snapshots.snapshot import Snapshot
from xds_server.loads import NodeLoad
from xds_server.moments import Moment

MAX_DRAINS = 1000
"""At a time: what leaves beyond that goes at once. Each is read again for every publication."""

MAX_LOOKS = 30_000
"""How many answers, each of one Envoy on one drain, are looked at together: some 20 ms."""

UPLOADS_S = 5.0
"""How long bodies may be on their way for which a pool has been chosen by their path."""

MAX_TOLD = 10
"""Envoys that a drain is told to wait for, by name."""

Outcome = Literal["idle", "deadline"]

Why = Literal["disconnected", "behind", "no_reports", "not_counted", "in_progress", "reporting"]
"""Why an Envoy is waited for: its connection is lost; it has not taken the edit; it sends this
control plane no load reports; the pool changed a short time ago, and Envoy counts anew since;
requests are in progress; or none are, and it has to say so twice."""


@dataclass(frozen=True, slots=True)
class Envoy:
    """One that is connected, or was."""

    node_id: str
    group: str
    """The key of `Snapshot.nodes` by which it is told what it is told."""
    gone_at: float | None
    """When its connection was lost, by the clock that drains are held to."""
    converged_at: float | None
    """Since when it has all that is published; None: it has not."""
    load: NodeLoad | None
    """None: it does not report."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a drain goes on."""

    node_id: str
    why: Why
    in_progress: int = 0


@dataclass(slots=True, eq=False)
class Drain:
    """One pool or server on its way out."""

    leaving: Leaving
    since: Moment
    begun: float
    """The same, by the clock that it is held to."""
    is_draining: bool
    """Whether its servers are DRAINING; until then it is as it was."""
    in_progress: int = 0
    waits_for: tuple[Wait, ...] = ()
    """The first of those Envoys that have yet to say that nothing is in progress."""
    waiting: int = 0
    """How many they are."""


class Drains:
    """All that is leaving."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        """How long something is kept, at most."""
        self._drains: dict[Leaving, Drain] = {}
        self._counted_anew: dict[tuple[str, str], float] = {}
        """By group and cluster: since when Envoys count its requests, if that is not long ago."""

    def __bool__(self) -> bool:
        """Tell whether anything is leaving."""
        return bool(self._drains)

    def all(self) -> list[Drain]:
        """Return what is leaving, by group and name."""
        return sorted(self._drains.values(), key=lambda drain: drain.leaving.place)

    def edited(
        self, old: Snapshot, new: Snapshot, at: Moment, now: float
    ) -> tuple[list[Drain], int]:
        """Take in an edit; return what begins to leave by it, and how much is gone at once.

        What is back is no longer leaving.
        """
        self._note_counted_anew(old, new, now)
        for key, drain in tuple(self._drains.items()):
            if is_back(key, new):
                del self._drains[key]
                for item in servers_left_behind(key, new):
                    self._drains[item] = Drain(item, drain.since, drain.begun, item.cut_off)
        if not self.longest_s:
            return [], 0
        found = leaving(old, new)
        begun = [Drain(item, at, now, item.cut_off) for item in found[: self._room()]]
        self._drains.update((drain.leaving, drain) for drain in begun)
        return begun, len(found) - len(begun)

    def _room(self) -> int:
        return max(MAX_DRAINS - len(self._drains), 0)

    def _note_counted_anew(self, old: Snapshot, new: Snapshot, now: float) -> None:
        """Note whose counts are not to be believed for as long as anything is kept.

        What began in a cluster before it was replaced is in no count of the one of that name.
        """
        kept = {k: at for k, at in self._counted_anew.items() if now < at + self.longest_s}
        self._counted_anew = kept | dict.fromkeys(changed_clusters(old, new), now)

    def beside(self, snapshot: Snapshot) -> Snapshot:
        """Return *snapshot* with all that is leaving beside it."""
        return with_leaving(snapshot, ((d.leaving, d.is_draining) for d in self._drains.values()))

    def looked_at(self, envoys: int) -> list[Drain]:
        """Return those that are looked at now, with so many *envoys*: the oldest come first."""
        return list(islice(self._drains.values(), max(MAX_LOOKS // max(envoys, 1), 1)))

    def look(self, envoys: Iterable[Envoy], now: float) -> tuple[bool, Mapping[Drain, Outcome]]:
        """Return whether something else is to be published, and what has left, with the reason.

        *envoys* are those that are connected, or were within `longest_s`.
        """
        by_group: dict[str, list[Envoy]] = {}
        for envoy in envoys:
            by_group.setdefault(envoy.group, []).append(envoy)
        left: dict[Drain, Outcome] = {}
        begins = False
        for drain in self.looked_at(sum(map(len, by_group.values()))):
            of_group = by_group.get(drain.leaving.group, [])
            if self._is_idle(drain, of_group, now) and drain.is_draining:
                left[drain] = "idle"
            elif not drain.is_draining and _have_left(drain.leaving, of_group, now):
                drain.is_draining = begins = True
        for drain in self._drains.values():
            if now >= drain.begun + self.longest_s:
                left.setdefault(drain, "deadline")
        self._let_go(left, now)
        return begins or bool(left), left

    def _let_go(self, left: dict[Drain, Outcome], now: float) -> None:
        pools = {(d.leaving.group, d.leaving.cluster): d for d in left if not d.leaving.server}
        for drain in self._drains.values():
            # With its pool a server goes that left it before.
            if pool := pools.get((drain.leaving.group, drain.leaving.cluster)):
                left.setdefault(drain, left[pool])
        for drain, outcome in left.items():
            del self._drains[drain.leaving]
            if outcome == "deadline":
                self._counted_anew[drain.leaving.group, drain.leaving.cluster] = now

    def _is_idle(self, drain: Drain, envoys: list[Envoy], now: float) -> bool:
        """Return whether every Envoy says so; with none, nobody knows."""
        what = drain.leaving
        counted_anew = self._counted_anew.get((what.group, what.cluster), float("-inf"))
        is_counted = now >= counted_anew + self.longest_s
        waits = []
        drain.in_progress = drain.waiting = 0
        for envoy in envoys:
            in_progress = envoy.load.of(what.cluster, what.server) if envoy.load else 0
            why = _why(drain, envoy, in_progress, is_counted=is_counted)
            drain.in_progress += in_progress
            if why:
                drain.waiting += 1
                if drain.waiting <= MAX_TOLD:
                    waits.append(Wait(envoy.node_id, why, in_progress))
        drain.waits_for = tuple(waits)
        return bool(envoys) and not drain.waiting


def _have_left(leaving: Leaving, envoys: list[Envoy], now: float) -> bool:
    """Return whether all that are connected have no requests for it that have yet to begin there.

    With none, nobody knows. Of those that come back with older routes see `protocol.endings`.
    """
    latest = now - UPLOADS_S if leaving.is_chosen_early else now
    connected = [envoy for envoy in envoys if envoy.gone_at is None]
    return bool(connected) and all(
        envoy.converged_at is not None and envoy.converged_at <= latest for envoy in connected
    )


def _why(drain: Drain, envoy: Envoy, in_progress: int, *, is_counted: bool) -> Why | None:
    """Return why *envoy* is waited for; None if it said that nothing is in progress."""
    if envoy.gone_at is not None or envoy.converged_at is None:
        return "behind" if envoy.gone_at is None else "disconnected"
    if envoy.load is None:
        return "no_reports"
    if in_progress:
        return "in_progress"
    if not is_counted:
        return "not_counted"
    # Its threads take an edit a moment after it was ACKed: the first report may be too early.
    says_so = envoy.load.tells_of(drain.leaving.cluster, envoy.converged_at)
    return None if says_so else "reporting"
