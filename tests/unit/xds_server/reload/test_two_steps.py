"""An edit that replaces every server of a pool: first both, then the new ones alone."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from snapshots.type_urls import ENDPOINT
from xds_server.reload import first_checks
from xds_server.reload.metrics import ReloadMetrics
from xds_server.reload.publisher import RegistryPublisher
from xds_server.store import SnapshotStore

OLD = "127.0.0.1:9001"


def registry(server: str, timeout: str = "300s") -> bytes:
    return f"""\
version: 1
drain: 0s
pools:
  blue: {{endpoints: ["{server}"]}}
models:
  small: {{pool: blue, timeout: {timeout}}}
""".encode()


@asynccontextmanager
async def model_server(status: int = 200, answering: asyncio.Event | None = None):
    """Run a server whose health check answers *status*, once it is *answering* if given.

    Yields its address and a queue of the checks that came.
    """
    checks = asyncio.Queue()

    async def health(_: web.Request) -> web.Response:
        checks.put_nowait("checked")
        if answering:
            await answering.wait()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/health", health)
    async with TestServer(app) as server, asyncio.timeout(20):
        yield f"127.0.0.1:{server.port}", checks


@pytest.fixture
def store() -> SnapshotStore:
    return SnapshotStore()


@pytest.fixture
def publisher(store) -> RegistryPublisher:
    return RegistryPublisher(Path("r.yaml"), store, ReloadMetrics(CollectorRegistry()))


def ports(store: SnapshotStore) -> int:
    """Return how many servers the pool has for Envoy now."""
    assignments = store.current.snapshot.for_node("any").types[ENDPOINT].resources
    return assignments["pool/blue"].body.count(b"127.0.0.1")


async def test_old_and_new_servers_are_there_until_the_new_ones_are_healthy(publisher, store):
    async with model_server() as (new, checks):
        await publisher.load(registry(OLD))
        with capture_logs() as logs:
            await publisher.load(registry(new))
            first, servers_at_first = store.current, ports(store)
            last = await store.newer_than(first.serial)

    assert servers_at_first == 2
    assert ports(store) == 1
    assert first.goal is last.goal is last.snapshot
    assert checks.qsize() == 1
    assert [line["event"] for line in logs][1:] == ["snapshot.published", "snapshot.completed"]


async def test_servers_that_stay_unhealthy_are_used_after_a_while_and_that_is_said(
    publisher, store, monkeypatch
):
    monkeypatch.setattr(first_checks, "LONGEST_WAIT_S", 0.2)
    async with model_server(503) as (new, _):
        await publisher.load(registry(OLD))
        with capture_logs() as logs:
            await publisher.load(registry(new))
            await store.newer_than(store.current.serial)

    assert ports(store) == 1
    warning = next(line for line in logs if line["event"] == "snapshot.servers.unhealthy")
    assert warning["servers"] == [f"http://{new}/health"]


async def test_an_edit_between_the_steps_takes_the_place_of_the_second(publisher, store):
    answering = asyncio.Event()
    async with model_server(answering=answering) as (new, checks):
        await publisher.load(registry(OLD))
        await publisher.load(registry(new))
        await checks.get()
        await publisher.load(registry(OLD))
        taken_back = store.current
        answering.set()

    assert taken_back.goal is taken_back.snapshot is store.current.snapshot
    assert ports(store) == 1


async def test_an_edit_of_something_else_between_the_steps_keeps_the_old_servers_too(
    publisher, store
):
    answering = asyncio.Event()
    async with model_server(answering=answering) as (new, checks):
        await publisher.load(registry(OLD))
        await publisher.load(registry(new))
        await checks.get()
        await publisher.load(registry(new, timeout="10s"))
        between, servers_between = store.current, ports(store)
        answering.set()
        await store.newer_than(between.serial)

    assert servers_between == 2
    assert ports(store) == 1
    assert store.current.snapshot is between.goal


async def test_an_edit_of_something_else_is_one_step(publisher, store):
    await publisher.load(registry(OLD))
    await publisher.load(registry(OLD, timeout="10s"))

    assert store.current.goal is store.current.snapshot
