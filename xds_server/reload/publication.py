"""How a snapshot is published: in one step or two, with what it takes away draining beside it.

Does not know where a snapshot comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from snapshots.snapshot import Snapshot
from snapshots.warm_up import FirstCheck, WarmUp, keep_replaced_servers
from xds_server.loads import Loads
from xds_server.moments import Moment
from xds_server.reload.changes import cut, logged_changes
from xds_server.reload.drains import Drain, Drains, Envoy, Outcome
from xds_server.reload.first_checks import first_checks_pass
from xds_server.reload.metrics import ReloadMetrics
from xds_server.store import Published, SnapshotStore

log = structlog.get_logger()

EnvoysSince = Callable[[float], Iterable[Envoy]]
"""Returns those that are connected, or were after a time by the event loop's clock."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What is published, without what is leaving."""

    snapshot: Snapshot
    """What Envoys are told now."""
    goal: Snapshot
    """What the registry says."""


class Publication:
    """What is published into *store*, step by step. For one event loop only."""

    def __init__(
        self,
        store: SnapshotStore,
        metrics: ReloadMetrics,
        completed: Callable[[], None] = lambda: None,
    ) -> None:
        """*completed* is called after the second step of a publication."""
        self._store = store
        self._metrics = metrics
        self._completed = completed
        self.plain: Plain | None = None
        """What is published, without what is leaving."""
        self._second_step: asyncio.Task[None] | None = None
        self._pending: tuple[FirstCheck, ...] = ()
        """The first checks that the second step waits for."""
        self._drains = Drains()
        self._something_leaves = asyncio.Event()

    def resume(self, snapshot: Snapshot) -> None:
        """Publish *snapshot*, which is what another process published last."""
        self.plain = Plain(snapshot, snapshot)
        self._store.publish(snapshot, provisional=True)

    def publish(self, snapshot: Snapshot, drain_s: float = 0) -> bool:
        """Publish *snapshot* unless it is the current one; tell whether it was.

        What it takes away is drained for *drain_s* at most, and so is what left before.
        """
        self._drains.longest_s = drain_s
        before = self._store.current
        if before and before.goal.revision == snapshot.revision:
            if before.provisional:
                self._store.publish(snapshot)
            return False
        self.give_up_second_step()
        step = keep_replaced_servers(before.snapshot, snapshot, self._pending) if before else None
        self._pending = step.first_checks if step else ()
        old = self.plain.goal if self.plain else None
        self.plain = Plain(step.snapshot if step else snapshot, snapshot)
        begun, at_once = self._begin_to_drain(old, snapshot) if old else ([], 0)
        goal = self._drains.beside(snapshot)
        if step:
            between = self._drains.beside(step.snapshot)
            published = self._store.publish(between, goal=goal)
            self._second_step = asyncio.get_running_loop().create_task(self._finish(step))
        else:
            published = self._store.publish(goal)
        self._metrics.published(snapshot)
        log.info(
            "snapshot.published",
            revision=snapshot.revision,
            serial=published.serial,
            **(logged_changes(old, snapshot) if old else {}),
        )
        if begun:
            log.info(
                "drain.started", leaving=_names(begun), deadline_s=drain_s, not_drained=at_once
            )
        return True

    def give_up_second_step(self) -> None:
        """Give up the second step of the last publication, if it is still to come."""
        if self._second_step:
            self._second_step.cancel()

    async def _finish(self, step: WarmUp) -> None:
        """Publish the goal once the servers that *step* brings have been checked."""
        await first_checks_pass(step.first_checks)
        self._pending = ()
        published = self._publish_goal()
        self._completed()
        log.info("snapshot.completed", revision=published.goal.revision, serial=published.serial)

    def _publish_goal(self) -> Published:
        """Publish what the registry says, and what is leaving."""
        if self.plain is None:
            raise RuntimeError("nothing has been published")
        self.plain = Plain(self.plain.goal, self.plain.goal)
        return self._store.publish(self._drains.beside(self.plain.goal))

    # What is leaving

    def draining(self) -> tuple[list[Drain], float]:
        """Return what is leaving, by group and name, and for how long each is kept at most."""
        return self._drains.all(), self._drains.longest_s

    def _begin_to_drain(self, old: Snapshot, new: Snapshot) -> tuple[list[Drain], int]:
        now = asyncio.get_running_loop().time()
        begun, at_once = self._drains.edited(old, new, Moment.now(), now)
        self._metrics.draining(len(self._drains.all()))
        if self._drains:
            self._something_leaves.set()
        return begun, at_once

    async def follow_drains(self, loads: Loads, envoys: EnvoysSince) -> None:
        """Let go what is leaving when nothing is in progress there, or it is time; until cancelled.

        *loads* is asked for load reports.
        """
        clock = asyncio.get_running_loop().time
        while True:
            await self._something_leaves.wait()
            while self._drains:
                now = clock()
                self._look_safely(list(envoys(now - self._drains.longest_s)), loads, now)
                await asyncio.sleep(loads.question.interval_s)
            loads.ask(())
            self._something_leaves.clear()

    def _look_safely(self, envoys: list[Envoy], loads: Loads, now: float) -> None:
        try:
            if not self._pending:
                self._look(envoys, now)
            loads.ask({d.leaving.cluster for d in self._drains.looked_at(len(envoys))})
        except Exception:  # a defect of ours must not end what serves the fleet
            log.exception("drain.failed", left=_names(self._drains.all()))
            self._drains = Drains()
            self._publish_goal()

    def _look(self, envoys: list[Envoy], now: float) -> None:
        changed, left = self._drains.look(envoys, now)
        if changed:
            self._publish_goal()
        self._metrics.draining(len(self._drains.all()))
        for outcome in sorted({*left.values()}):
            self._tell(outcome, left)

    def _tell(self, outcome: Outcome, left: Mapping[Drain, Outcome]) -> None:
        drains = [drain for drain, of_drain in left.items() if of_drain == outcome]
        waits = (f"{wait.node_id}: {wait.why}" for drain in drains for wait in drain.waits_for)
        waited_for = {"waited_for": cut(list(dict.fromkeys(waits)))} if outcome != "idle" else {}
        log.info(
            "drain.completed",
            left=_names(drains),
            outcome=outcome,
            in_progress=sum(drain.in_progress for drain in drains),
            **waited_for,
        )


def _names(drains: Iterable[Drain]) -> list[str]:
    return cut(list(dict.fromkeys(drain.leaving.title for drain in drains)))
