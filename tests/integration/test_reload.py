"""A control plane in this process, on a real file: edits, bad edits and repairs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from snapshots.build import SnapshotBuilder
from snapshots.registry.loader import load_registry
from tests.support.cluster_stream import cluster_stream
from xds_server.address import Address
from xds_server.app import ControlPlane, Ready, Settings

REGISTRY = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
  green: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {pool: blue}
drain: 0s
"""
EDITED = REGISTRY.replace("pool: blue", "pool: green")
BROKEN = REGISTRY.replace("pool: blue", "pool: bleu")
ANY_PORT = Address("127.0.0.1", 0)


class Running:
    """A control plane that serves, and what it tells over HTTP."""

    def __init__(self, plane: ControlPlane, ready: Ready, http: aiohttp.ClientSession) -> None:
        self.store = plane.store
        self.ready = ready
        self._http = http

    async def status(self) -> dict:
        async with self._http.get(f"http://{self.ready.status_address}/status") as answer:
            return await answer.json()

    async def metric(self, sample: str) -> float:
        async with self._http.get(f"http://{self.ready.status_address}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return float(next(line for line in lines if line.startswith(sample + " ")).split(" ")[1])

    async def refusal(self) -> str:
        """Return the error as soon as `GET /status` tells one."""
        while (error := (await self.status())["registry"]["error"]) is None:
            pass
        return error

    async def reloads(self, result: str, count: int) -> None:
        """Return as soon as *count* contents of the file have had this *result*."""
        while await self.metric(f'modelyard_registry_reloads_total{{result="{result}"}}') < count:
            pass


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[Running]:
    plane = ControlPlane(Settings(path, ANY_PORT, ANY_PORT))
    ready = asyncio.get_running_loop().create_future()
    async with (
        asyncio.timeout(30),
        asyncio.TaskGroup() as tasks,
        aiohttp.ClientSession() as http,
    ):
        task = tasks.create_task(plane.run(ready.set_result))
        yield Running(plane, await ready, http)
        task.cancel()


@pytest.fixture
def registry(tmp_path) -> Path:
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


async def test_a_saved_edit_is_published_and_told(registry):
    async with running(registry) as plane:
        before = plane.store.current
        registry.write_text(EDITED)
        after = await plane.store.newer_than(before.serial)
        status = await plane.status()

    assert before.snapshot.revision == plane.ready.revision
    assert after.snapshot.revision != before.snapshot.revision
    assert status["revision"] == after.snapshot.revision


async def test_an_envoy_is_sent_what_the_edit_changes_and_told_of_in_status(registry):
    async with running(registry) as plane, cluster_stream(plane.ready.xds_address) as envoy:
        at_first, _ = await envoy.next()
        registry.write_text(EDITED)
        added, removed = await envoy.next()
        while not removed:
            _, removed = await envoy.next()
        while not (node := (await plane.status())["nodes"][0])["converged"]:
            pass

    assert "pool/blue" in at_first
    assert added == {"pool/green"}
    assert removed == {"pool/blue"}
    assert (node["id"], node["connected"], node["variant"]) == ("envoy-1", True, "delta")
    assert node["revision"] == plane.store.current.snapshot.revision


async def test_a_bad_edit_sends_an_envoy_nothing(registry):
    async with running(registry) as plane, cluster_stream(plane.ready.xds_address) as envoy:
        await envoy.next()
        registry.write_text(BROKEN)
        await plane.refusal()
        registry.write_text(EDITED)

        assert await envoy.next() == ({"pool/green"}, set())


async def test_an_edit_that_is_taken_back_gives_the_first_revision_again(registry):
    async with running(registry) as plane:
        for text in (EDITED, REGISTRY):
            registry.write_text(text)
            published = await plane.store.newer_than(plane.store.current.serial)

        assert published.serial == 3
        assert published.snapshot.revision == plane.ready.revision


async def test_an_edit_of_a_comment_is_loaded_but_not_published(registry):
    async with running(registry) as plane:
        registry.write_text("# a comment\n" + REGISTRY)
        await plane.reloads("unchanged", 1)

        assert plane.store.current.serial == 1


async def test_a_bad_edit_is_told_while_the_last_good_one_serves_until_it_is_repaired(registry):
    async with running(registry) as plane:
        registry.write_text(BROKEN)
        error = await plane.refusal()
        while_broken = await plane.status(), await plane.metric("modelyard_registry_error")
        registry.write_text(EDITED)
        repaired = await plane.store.newer_than(1)
        after, metric_after = await plane.status(), await plane.metric("modelyard_registry_error")

    assert f"{registry}:6:11: models.small.pool: " in error
    assert "did you mean `blue`?" in error
    assert while_broken[0]["revision"] == plane.ready.revision
    assert while_broken[1] == 1
    assert repaired.serial == 2
    assert after["registry"]["error"] is None
    assert after["revision"] == repaired.snapshot.revision
    assert metric_after == 0


async def test_a_repair_that_restores_the_last_good_file_clears_the_error_without_publishing(
    registry,
):
    async with running(registry) as plane:
        registry.write_text(BROKEN)
        await plane.refusal()
        registry.write_text(REGISTRY)
        await plane.reloads("unchanged", 1)

        assert (await plane.status())["registry"]["error"] is None
        assert await plane.metric("modelyard_registry_error") == 0
        assert plane.store.current.serial == 1


async def test_a_deleted_file_is_told_and_the_last_good_one_serves(registry):
    async with running(registry) as plane:
        registry.unlink()
        error = await plane.refusal()
        revision = (await plane.status())["revision"]
        registry.write_text(EDITED)
        repaired = await plane.store.newer_than(1)

    assert repaired.snapshot.revision != revision
    assert error == f"{registry} does not exist"
    assert revision == plane.ready.revision


@pytest.mark.parametrize("bad", ["", "models: {", "- a\n", "\x00\x01\n", "version: 2\n"])
async def test_whatever_the_file_holds_the_last_good_one_serves(registry, bad):
    async with running(registry) as plane:
        registry.write_text(bad)
        error = await plane.refusal()
        registry.write_text(EDITED)
        repaired = await plane.store.newer_than(1)

    assert str(registry) in error
    assert repaired.serial == 2


async def test_of_many_edits_at_once_the_last_is_served(registry):
    last = SnapshotBuilder().build(load_registry(EDITED.encode(), "registry.yaml"))
    async with running(registry) as plane:
        for port in range(9100, 9130):
            registry.write_text(REGISTRY.replace("9001", str(port)))
            await asyncio.sleep(0)
        registry.write_text(EDITED)
        while plane.store.current.snapshot != last:
            await plane.store.newer_than(plane.store.current.serial)


async def test_metrics_tell_when_what_was_built_and_how_long_it_took(registry):
    async with running(registry) as plane:
        loaded_at = await plane.metric("modelyard_registry_loaded_timestamp_seconds")
        builds = await plane.metric("modelyard_snapshot_build_seconds_count")
        listeners = await plane.metric('modelyard_snapshot_resources{type="Listener"}')

    assert loaded_at > 1_700_000_000
    assert builds == 1
    assert listeners == 1
