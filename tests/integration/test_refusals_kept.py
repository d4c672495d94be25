"""`modelyard serve --state-dir`: what clients refused of one process is not sent by the next."""

from __future__ import annotations

import resource
import shutil
import signal
from contextlib import asynccontextmanager

import pytest
from envoy.config.core.v3 import base_pb2

from snapshots.type_urls import CLUSTER
from tests.support import command
from tests.support.ads_client import AdsClient
from tests.support.serve_process import serving
from tests.support.state import until_refusals_stored, until_stored
from xds_server.state.directory import REFUSALS, SNAPSHOT

GOOD = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
  green: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {pool: blue}
  large: {pool: green}
"""
BAD = GOOD.replace('9001"]', '9001"], connect_timeout: 7s')
REPAIRED = GOOD.replace('9001"]', '9001"], connect_timeout: 8s')
WORDS = "pool/blue: no good"
NOBODY: set[str] = set()


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def client(control_plane, node_id="one", *, variant="delta", version=(1, 40, 0)):
    node = base_pb2.Node(id=node_id, user_agent_name="test")
    told = node.user_agent_build_version.version
    told.major_number, told.minor_number, told.patch = version
    return AdsClient(control_plane.xds_address, variant, node=node)


async def subscribe(one):
    await one.subscribe(CLUSTER)
    await one.settle()


async def refuse(one, registry):
    """Have *one* refuse the cluster of the bad registry; return that cluster's version."""
    registry.write_text(BAD)
    told = await one.expect(CLUSTER)
    (bad,) = [r for r in told.resources if r.name == "pool/blue"]
    await one.nack(told, WORDS)
    await one.settle()
    assert one.held[CLUSTER]["pool/blue"].version != bad.version
    return bad.version


@asynccontextmanager
async def refused_before(registry, state, variant="delta"):
    """Yield a client that a process was killed on, and what version it had refused."""
    async with (
        serving(registry, "--state-dir", state) as first,
        client(first, variant=variant) as before,
    ):
        await subscribe(before)
        await until_stored(state, first.revision)
        shutil.copy(state / SNAPSHOT, state.with_name("older"))
        bad = await refuse(before, registry)
        await until_refusals_stored(state, registry, {"pool/blue"})
        status = await first.until("/status", lambda s: s["revision"] != first.revision)
        await until_stored(state, status["revision"])
        await first.stop(signal.SIGKILL)
    yield before, bad


def versions(told, name="pool/blue"):
    return {r.version for each in told for r in each.resources if r.name == name}


async def test_nobody_is_sent_what_was_refused_of_the_last_process(registry, state, variant):
    async with (
        refused_before(registry, state, variant) as (before, bad),
        serving(registry, "--state-dir", state) as second,
    ):
        async with (
            client(second, variant=variant) as back,
            client(second, "new", variant=variant) as new,
        ):
            await back.go_on_for(before)
            told = await back.settle()
            await subscribe(new)

            assert bad not in versions(told)
            assert new.held[CLUSTER] == before.held[CLUSTER]
            registry.write_text(REPAIRED)
            await second.until("/status", lambda s: s["revision"] != second.revision)
            for one in (back, new):
                assert versions(await one.settle()) not in ({bad}, set())
        await until_refusals_stored(state, registry, NOBODY)
        assert 'rejections_total{type="cds"} 0.0' in await second.get("/metrics")


async def test_a_refusal_stands_even_if_the_stored_snapshot_is_older_than_it(
    registry, state, variant
):
    async with refused_before(registry, state, variant) as (before, bad):
        shutil.copy(state.with_name("older"), state / SNAPSHOT)
        async with (
            serving(registry, "--state-dir", state) as second,
            client(second, variant=variant) as back,
        ):
            await back.go_on_for(before)
            told = await back.settle()
            await second.until("/status", lambda s: s["revision"] != second.revision)
            told += await back.settle()
            status = await second.get("/status")

    assert bad not in versions(told)
    assert status["nodes"][0]["rejected"]["resource"] == "pool/blue"


async def test_the_status_tells_the_refusal_of_the_last_process_with_its_line_of_now(
    registry, state
):
    async with refused_before(registry, state) as (before, _):
        registry.write_text("# One line more.\n" + BAD)
        async with (
            serving(registry, "--state-dir", state) as second,
            client(second) as back,
        ):
            await back.go_on_for(before)
            await back.settle()
            place = f"{registry}:4:3 (pools.blue)"
            status = await second.until(
                "/status",
                lambda s: s["nodes"][0]["rejected"]["registry_place"] == place,
            )
            table = await command.run("status", "--status-url", second.status_url)
            plan = await command.run("plan", registry, "--status-url", second.status_url)
            ended = await second.stop()

    (node,) = status["nodes"]
    assert node["rejected"]["error_detail"] == WORDS
    assert node["last_rejected"]["registry_place"] == f"{registry}:3:3 (pools.blue)"
    assert "it refuses Cluster pool/blue" in table.stdout
    assert place in table.stdout
    assert "Envoys refuse a part of what is served now" in plan.stdout
    assert "Cluster pool/blue" in plan.stdout
    (line,) = [line for line in ended.stderr.splitlines() if "state.refusal.restored" in line]
    assert "nodes=['one']" in line
    assert "xds.response.rejected" not in ended.stderr


async def test_an_envoy_of_another_version_is_offered_it_once(registry, state, variant):
    async with (
        refused_before(registry, state, variant) as (_, bad),
        serving(registry, "--state-dir", state) as second,
    ):
        async with client(second, "one", variant=variant, version=(1, 41, 0)) as upgraded:
            await subscribe(upgraded)
            assert upgraded.held[CLUSTER]["pool/blue"].version == bad
        async with client(second, "two", variant=variant) as other:
            await subscribe(other)
            assert other.held[CLUSTER]["pool/blue"].version == bad
        await second.until("/status", lambda s: all(not n["rejected"] for n in s["nodes"]))


async def test_what_others_took_is_kept_only_from_who_refused_it(registry, state):
    async with (
        serving(registry, "--state-dir", state) as first,
        client(first) as one,
        client(first, "two") as two,
    ):
        await subscribe(one)
        await subscribe(two)
        registry.write_text(BAD)
        status = await first.until("/status", lambda s: s["revision"] != first.revision)
        await two.settle()
        bad = await refuse(one, registry)
        await until_refusals_stored(state, registry, {"pool/blue"})
        await until_stored(state, status["revision"])
        await first.stop(signal.SIGKILL)
    async with serving(registry, "--state-dir", state) as second:
        async with client(second, "two") as back:
            await back.go_on_for(two)
            await back.settle()
            assert back.held[CLUSTER]["pool/blue"].version == bad
        async with client(second) as back, client(second, "new") as new:
            await back.go_on_for(one)
            assert bad not in versions(await back.settle())
            await subscribe(new)
            assert new.held[CLUSTER]["pool/blue"].version == bad


async def test_refusals_that_are_damaged_are_told_and_not_used(registry, state):
    async with refused_before(registry, state) as (_, bad):
        stored = state / REFUSALS
        stored.write_bytes(stored.read_bytes()[:-1])
        async with serving(registry, "--state-dir", state) as second:
            async with client(second) as back:
                await subscribe(back)
                assert back.held[CLUSTER]["pool/blue"].version == bad
            await until_refusals_stored(state, registry, NOBODY)
            ended = await second.stop()

    (line,) = [line for line in ended.stderr.splitlines() if "state.refused" in line]
    assert "what Envoys have refused is not known: it is cut short" in line
    assert "state.restored" in ended.stderr


async def test_refusals_stand_where_the_snapshot_is_damaged(registry, state):
    async with refused_before(registry, state) as (before, _):
        (state / SNAPSHOT).write_bytes(b"modelyard")
        async with (
            serving(registry, "--state-dir", state) as second,
            client(second, "new") as new,
        ):
            await subscribe(new)
            ended = await second.stop()

    assert "the stored snapshot is not used" in ended.stderr
    assert new.held[CLUSTER] == before.held[CLUSTER]


async def test_a_disk_that_is_full_is_said_once_and_stops_nothing(registry, state):
    async with (
        serving(registry, "--state-dir", state) as control_plane,
        client(control_plane) as one,
    ):
        await subscribe(one)
        pid, everything = control_plane.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (100, everything))
        await refuse(one, registry)
        failed = 'state_writes_total{result="failed"} 2.0'  # snapshot, refusals
        await control_plane.until("/metrics", lambda text: failed in text)
        assert "modelyard_state_error 1.0" in await control_plane.get("/metrics")
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (everything, everything))
        # It tries again by itself.
        await until_refusals_stored(state, registry, {"pool/blue"})
        ended = await control_plane.stop()

    assert ended.stderr.count("state.write.failed") == 1
    assert "Traceback" not in ended.stderr


async def test_a_stop_stores_what_was_refused_last(registry, state):
    async with (
        serving(registry, "--state-dir", state) as control_plane,
        client(control_plane) as one,
    ):
        await subscribe(one)
        await refuse(one, registry)
        await control_plane.stop()

    await until_refusals_stored(state, registry, {"pool/blue"})


async def test_a_rollback_ends_a_refusal(registry, state):
    async with (
        refused_before(registry, state) as (before, _),
        serving(registry, "--state-dir", state) as second,
        client(second) as back,
    ):
        await back.go_on_for(before)
        await back.settle()
        listed = await command.run("history", "--state-dir", state)
        first = listed.stdout.splitlines()[-1].split()[0]
        await command.run("rollback", first, "--state-dir", state)
        await second.until("/status", lambda s: s["revision"] == first)
        await back.settle()
        waited = await command.run("wait", "--status-url", second.status_url)

        assert waited.code == 0, waited.stderr
        await until_refusals_stored(state, registry, NOBODY)
        assert back.held[CLUSTER] == before.held[CLUSTER]


async def test_where_nobody_refuses_anything_nothing_is_stored_of_it(registry, state):
    async with (
        serving(registry, "--state-dir", state) as control_plane,
        client(control_plane) as one,
    ):
        await subscribe(one)
        await control_plane.stop()

    assert not (state / REFUSALS).exists()
