"""How long an edit takes until every connected Envoy runs it: one observation, and log lines.

Does not decide what is published, nor what a node runs (`xds_server.fleet`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from xds_server.fleet import Fleet
from xds_server.node_status import Progress
from xds_server.store import SnapshotStore

log = structlog.get_logger()

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

LATE_AFTER_S = 10.0
"""An edit that takes longer is worth a warning: it takes milliseconds."""

LOOK_AGAIN_S = 0.02
"""How often is looked at most: a fleet of thousands answers within a second, one by one."""

LOGGED_NAMES = 10

LATE_ADVICE = "the others run this revision; these route on with what they accepted last"


class Rollout:
    """Follows each revision from its edit to the last Envoy."""

    def __init__(
        self,
        store: SnapshotStore,
        fleet: Fleet,
        metrics: CollectorRegistry,
        *,
        late_after_s: float = LATE_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._late_after_s = late_after_s
        self._clock = clock
        self._edited_at = clock()
        self._seconds = Histogram(
            "modelyard_edit_to_converged_seconds",
            "Time from when an edit was noticed until every connected node has ACKed all of it.",
            buckets=BUCKETS_S,
            registry=metrics,
        )
        self._behind = Gauge(
            "modelyard_rollout_nodes_behind",
            "Connected nodes that do not run the newest revision yet, or refuse it.",
            registry=metrics,
        )
        self._behind.set_function(lambda: len(fleet.progress().behind))

    def edited(self) -> None:
        """Record that a file has changed: what is published next is the result."""
        self._edited_at = self._clock()

    async def follow(self) -> None:
        """Follow every revision that is published from now on, until cancelled."""
        current = self._store.current
        serial, revision = (current.serial, current.goal.revision) if current else (0, "")
        while True:
            published = await self._store.newer_than(serial)
            serial = published.serial
            if published.goal.revision != revision:
                revision = published.goal.revision
                await self._follow(revision)

    async def _follow(self, revision: str) -> None:
        """Return when every connected node runs *revision*, or another one has taken its place."""
        edited_at, is_said = self._edited_at, False
        while self._is_goal(revision):
            progress = self._fleet.progress()
            if not progress.behind:
                self._finished(revision, edited_at, progress)
                return
            waited_s = self._clock() - edited_at
            if waited_s >= self._late_after_s and not is_said:
                is_said = True
                _say_late(revision, progress, waited_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._late_after_s / 4):
                    await self._fleet.changed.heard()
            # After the bell: what happens meanwhile is seen by the next look.
            await asyncio.sleep(LOOK_AGAIN_S)

    def _is_goal(self, revision: str) -> bool:
        current = self._store.current
        return current is not None and current.goal.revision == revision

    def _finished(self, revision: str, edited_at: float, progress: Progress) -> None:
        if not progress.connected:
            return
        # One that was not touched by the edit converged before it.
        seconds = max(0.0, progress.converged_at - edited_at)
        self._seconds.observe(seconds)
        log.info(
            "fleet.converged",
            revision=revision,
            nodes=progress.connected,
            seconds=round(seconds, 4),
        )


def _say_late(revision: str, progress: Progress, waited_s: float) -> None:
    more = len(progress.behind) - LOGGED_NAMES
    log.warning(
        "fleet.behind",
        revision=revision,
        nodes=[*progress.behind[:LOGGED_NAMES], *([f"and {more} more"] if more > 0 else [])],
        converged=progress.converged,
        waited_s=round(waited_s, 1),
        consequence=LATE_ADVICE,
    )
