"""`GET /wait`: when it answers, and what."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from snapshots.type_urls import CLUSTER
from tests.support.snapshots import cluster, snapshot
from xds_server.fleet import Fleet, Node
from xds_server.status.verdict import Asked
from xds_server.status.views import RegistryView, StatusView, status_view
from xds_server.status.waiting import Waiting
from xds_server.status.web import status_app
from xds_server.store import SnapshotStore

LONG_S = 20.0
BAD = cluster("p", "bad", origin=("pools", "p"))


class Served:
    """A fleet, and files that a control plane may or may not have read."""

    def __init__(self) -> None:
        self.store = SnapshotStore()
        self.fleet = Fleet(self.store)
        self.error: str | None = None
        self.read = True
        self.looks = 0
        self.waiting = Waiting(self.view, self.has_read_all, self.fleet.changed)
        self.store.publish(snapshot(cluster("p")))

    def view(self) -> StatusView:
        registry = RegistryView("registry.yaml", "", self.error)
        revision = self.store.current.goal.revision
        return status_view(revision, registry, self.fleet.nodes(), datetime.now(UTC))

    async def has_read_all(self) -> bool:
        self.looks += 1
        return self.read

    def open(self, name: str):
        return self.fleet.opened(Node(name, ""), "delta")

    def converge(self, record) -> None:
        self.fleet.converged(record, self.store.current.goal)

    @asynccontextmanager
    async def asked(self, asked=Asked(), within_s=LONG_S):  # noqa: B008 - frozen
        """Ask, and let the block make the verdict come."""
        async with asyncio.timeout(LONG_S / 2), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.waiting.verdict(asked, within_s))
            while not self.looks and not asked.revision:  # noqa: ASYNC110
                await asyncio.sleep(0)
            yield task


@pytest.fixture
def served():
    return Served()


async def test_it_answers_as_soon_as_the_last_node_has_converged(served):
    records = [served.open(name) for name in "ab"]
    served.converge(records[0])

    async with served.asked() as verdict:
        served.converge(records[1])

    assert verdict.result().outcome == "converged"
    assert verdict.result().converged == 2


async def test_it_waits_for_the_control_plane_to_have_read_the_files(served):
    served.converge(served.open("a"))
    served.read = False

    async with served.asked() as verdict:
        seen = served.looks
        while served.looks < seen + 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not verdict.done()
        served.read = True

    assert verdict.result().outcome == "converged"


async def test_a_file_that_is_saved_once_more_meanwhile_is_waited_for_too(served):
    record = served.open("a")

    async with served.asked() as verdict:
        served.read = False
        served.converge(record)
        seen = served.looks
        while served.looks < seen + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not verdict.done()
        served.read = True

    assert verdict.result().outcome == "converged"


async def test_a_refusal_is_told_without_waiting_for_a_node_that_never_answers(served):
    served.store.publish(snapshot(BAD))
    refusing, _silent = served.open("a"), served.open("b")

    async with served.asked() as verdict:
        served.fleet.rejected(refusing, CLUSTER, [BAD], "no good")

    told = verdict.result()
    assert (told.outcome, told.behind.count) == ("refused", 1)
    assert told.refusing.first[0].rejected.registry_place == "pools.p"


async def test_time_that_is_up_ends_the_wait_with_what_there_is(served):
    served.open("a")

    verdict = await served.waiting.verdict(Asked(), 0)

    assert (verdict.outcome, verdict.read, verdict.behind.count) == ("pending", True, 1)


async def test_a_revision_that_is_asked_for_is_waited_for_whatever_the_files_hold(served):
    record = served.open("a")
    later = snapshot(cluster("p", "2"))
    served.converge(record)

    async with served.asked(Asked(later.revision)) as verdict:
        served.store.publish(later)
        served.converge(record)

    assert verdict.result().revision == later.revision
    assert served.looks == 0


async def test_a_control_plane_that_stops_lets_everybody_go(served):
    async with served.asked() as verdict:
        served.waiting.close()

    assert verdict.result().outcome == "pending"


async def test_over_http_it_is_the_json_of_the_verdict(served):
    served.converge(served.open("a"))
    app = status_app(served.view, lambda: True, CollectorRegistry(), served.waiting.route())
    async with TestClient(TestServer(app)) as client:
        answer = await (await client.get("/wait?nodes=1&within=5")).json()

    nobody = {"count": 0, "first": []}
    assert answer == {
        "outcome": "converged",
        "revision": served.store.current.goal.revision,
        "read": True,
        "error": None,
        "connected": 1,
        "converged": 1,
        "refusing": nobody,
        "behind": nobody,
        "disconnected": nobody,
    }


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("node=1", "there is no node; there are revision, nodes and within"),
        ("nodes=-1", "nodes must be a number, not '-1'"),
        ("within=for%20ever", "within must be seconds, not 'for ever'"),
        ("within=1e9", "within must be seconds, not '1e9'"),
    ],
)
async def test_a_query_that_cannot_be_read_is_400_and_says_why(served, query, error):
    app = status_app(served.view, lambda: True, CollectorRegistry(), served.waiting.route())
    async with TestClient(TestServer(app)) as client:
        answer = await client.get(f"/wait?{query}")

        assert (answer.status, await answer.json()) == (400, {"error": error})
