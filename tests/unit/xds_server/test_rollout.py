"""How long an edit takes until every connected Envoy runs it."""

import asyncio
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.support.snapshots import cluster, snapshot
from xds_server.fleet import Fleet, Node
from xds_server.rollout import LATE_ADVICE, Rollout
from xds_server.store import SnapshotStore

COUNT = "modelyard_edit_to_converged_seconds_count"
SUM = "modelyard_edit_to_converged_seconds_sum"


class Followed:
    """A fleet whose revisions are followed, by a clock that the test moves."""

    def __init__(self, late_after_s: float) -> None:
        self.now = 100.0
        self.store = SnapshotStore()
        self.fleet = Fleet(self.store, clock=lambda: self.now)
        self.metrics = CollectorRegistry()
        self.rollout = Rollout(
            self.store, self.fleet, self.metrics, late_after_s=late_after_s, clock=lambda: self.now
        )
        self.store.publish(snapshot(cluster("p", "first")))

    def open(self, name: str):
        return self.fleet.opened(Node(name, ""), "delta")

    def edit(self, content: str) -> None:
        self.rollout.edited()
        self.store.publish(snapshot(cluster("p", content)))

    def converge(self, record, after_s: float = 0.0) -> None:
        self.now += after_s
        self.fleet.converged(record, self.store.current.goal)

    def metric(self, name: str) -> float:
        return self.metrics.get_sample_value(name)

    async def until(self, holds) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@asynccontextmanager
async def followed(late_after_s: float = 1.0):
    fleet = Followed(late_after_s)
    following = asyncio.ensure_future(fleet.rollout.follow())
    await asyncio.sleep(0)
    try:
        yield fleet
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def test_an_edit_is_told_when_the_last_node_has_it_and_not_at_the_next_look():
    async with followed(late_after_s=1000.0) as fleet:
        one = fleet.open("one")
        fleet.edit("second")
        for _ in range(20):
            await asyncio.sleep(0)  # it is being followed
        fleet.converge(one)

        await fleet.until(lambda: fleet.metric(COUNT) == 1)


async def test_an_edit_is_measured_until_the_last_connected_node_has_it():
    with capture_logs() as logs:
        async with followed() as fleet:
            one, two, gone = (fleet.open(name) for name in ("one", "two", "gone"))
            fleet.fleet.closed(gone)
            fleet.edit("second")
            fleet.converge(one, after_s=0.25)
            assert fleet.metric("modelyard_rollout_nodes_behind") == 1
            fleet.converge(two, after_s=0.25)
            await fleet.until(lambda: fleet.metric(COUNT) == 1)

            assert fleet.metric(SUM) == 0.5
            assert fleet.metric("modelyard_rollout_nodes_behind") == 0

    (line,) = logs
    assert (line["event"], line["nodes"], line["seconds"]) == ("fleet.converged", 2, 0.5)


async def test_who_is_late_is_said_once_with_what_that_means():
    with capture_logs() as logs:
        async with followed(late_after_s=0.04) as fleet:
            records = [fleet.open(f"n{i:02}") for i in range(13)]
            fleet.edit("second")
            fleet.converge(records[0], after_s=1.0)
            await fleet.until(lambda: logs)
            for record in records[1:]:
                fleet.converge(record)
            await fleet.until(lambda: len(logs) == 2)

    late, converged = logs
    assert (late["event"], late["log_level"]) == ("fleet.behind", "warning")
    assert late["nodes"] == [*(f"n{i:02}" for i in range(1, 11)), "and 2 more"]
    assert (late["converged"], late["consequence"]) == (1, LATE_ADVICE)
    assert converged["event"] == "fleet.converged"


async def test_an_edit_that_the_next_one_overtakes_is_not_counted():
    with capture_logs() as logs:
        async with followed(late_after_s=0.2) as fleet:
            record = fleet.open("one")
            fleet.edit("second")
            await asyncio.sleep(0)
            fleet.edit("third")
            fleet.converge(record, after_s=0.5)
            await fleet.until(lambda: fleet.metric(COUNT) == 1)

    assert [line["revision"] for line in logs] == [fleet.store.current.goal.revision]


async def test_a_fleet_without_envoys_is_not_measured():
    async with followed() as fleet:
        fleet.edit("second")
        await asyncio.sleep(0)
        record = fleet.open("one")
        fleet.edit("third")
        fleet.converge(record)
        await fleet.until(lambda: fleet.metric(COUNT) == 1)
