"""`modelyard serve --state-dir`: what a restart begins with, and what is never served."""

from __future__ import annotations

import re
import resource
import signal

import pytest

from snapshots.type_urls import CLUSTER, ROUTE
from tests.support import command, serve_process
from tests.support.ads_client import AdsClient
from tests.support.serve_process import serving
from tests.support.state import until_stored
from xds_server.state.directory import SNAPSHOT

REGISTRY = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
  green: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {pool: blue}
"""
EDITED = REGISTRY.replace("pool: blue", "pool: green")
BROKEN = REGISTRY.replace("pool: blue", "pool: bleu")
ROUTES = ("model/small", "no-model")


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture(params=["delta", "sotw"])
def variant(request):
    return request.param


async def killed_once_stored(control_plane, state):
    await until_stored(state, control_plane.revision)
    await control_plane.stop(signal.SIGKILL)


async def subscribe(client):
    await client.subscribe(CLUSTER)
    await client.subscribe(ROUTE, *ROUTES)


async def test_a_restart_after_a_kill_tells_an_envoy_nothing(registry, state):
    async with serving(registry, "--state-dir", state) as first:
        async with AdsClient(first.xds_address, "delta") as before:
            await subscribe(before)
            await before.settle()
        await killed_once_stored(first, state)
    async with serving(registry, "--state-dir", state) as second:
        async with AdsClient(second.xds_address, "delta") as client:
            await client.go_on_for(before)
            await client.expect_nothing()
            await second.until(
                "/metrics", lambda text: 'reloads_total{result="unchanged"} 1' in text
            )
            await client.expect_nothing()
        ended = await second.stop()

    assert second.revision == first.revision
    assert "state.restored" in ended.stderr
    assert "snapshot.published" not in ended.stderr


async def test_an_edit_while_it_was_down_comes_as_an_edit(registry, state):
    async with serving(registry, "--state-dir", state) as first:
        await killed_once_stored(first, state)
    registry.write_text(EDITED)
    async with serving(registry, "--state-dir", state) as second:
        assert second.revision == first.revision
        await second.until("/status", lambda status: status["revision"] != first.revision)
        ended = await second.stop()

    assert "RouteConfiguration model/small" in ended.stderr


async def test_a_registry_that_is_broken_at_the_start_leaves_the_last_good_one_served(
    registry, state
):
    async with serving(registry, "--state-dir", state) as first:
        await killed_once_stored(first, state)
    registry.write_text(BROKEN)
    async with serving(registry, "--state-dir", state) as second:
        status = await second.until("/status", lambda status: status["registry"]["error"])
        assert "models.small.pool" in status["registry"]["error"]
        assert status["revision"] == second.revision == first.revision
        async with AdsClient(second.xds_address, "delta") as client:
            await client.subscribe(ROUTE, *ROUTES)
            await client.settle()
            assert sorted(client.held[ROUTE]) == sorted(ROUTES)
        registry.write_text(EDITED)
        await second.until("/status", lambda status: status["registry"]["error"] is None)
        ended = await second.stop()

    assert "registry.refused" in ended.stderr
    assert f"serving_revision={first.revision}" in ended.stderr


async def test_an_envoy_that_is_ahead_of_what_was_stored_is_not_taken_back(
    registry, state, variant
):
    """As one that another control plane told of an edit meanwhile."""
    async with serving(registry, "--state-dir", state) as first:
        await killed_once_stored(first, state)
    registry.write_text(EDITED)
    async with serving(registry) as other, AdsClient(other.xds_address, variant) as before:
        await subscribe(before)
        await before.settle()
        ahead = dict(before.held[ROUTE])
    async with (
        serving(registry, "--state-dir", state) as second,
        AdsClient(second.xds_address, variant) as client,
    ):
        assert second.revision == first.revision
        await client.go_on_for(before)
        told = await client.settle()

    versions = {r.name: r.version for each in told for r in each.resources if r.type_url == ROUTE}
    assert all(ahead[name].version == version for name, version in versions.items())
    assert not [each.removed for each in told if each.removed]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda whole: whole[:-1], "it is cut short, or something follows it"),
        (lambda whole: whole[:200] + b"X" + whole[201:], "its checksum is wrong"),
        (lambda _: b"", "it is empty"),
        (lambda whole: whole.replace(b"t 1", b"t 9", 1), "it has format 9"),
    ],
)
async def test_a_damaged_state_is_said_and_not_served(registry, state, damage, words):
    async with serving(registry, "--state-dir", state) as first:
        await killed_once_stored(first, state)
    stored = state / SNAPSHOT
    stored.write_bytes(damage(stored.read_bytes()))
    registry.write_text(EDITED)
    async with serving(registry, "--state-dir", state) as second:
        ended = await second.stop()

    assert second.revision != first.revision
    assert "state.refused" in ended.stderr
    assert words in ended.stderr


async def test_a_damaged_state_and_a_broken_registry_are_the_end(registry, state):
    async with serving(registry, "--state-dir", state) as first:
        await killed_once_stored(first, state)
    (state / SNAPSHOT).write_bytes(b"modelyard")
    registry.write_text(BROKEN)
    addresses = ("--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0")
    ended = await serve_process.run(registry, "--state-dir", state, *addresses)

    assert ended.code == 1
    refused, reason = ended.stderr.splitlines()
    assert "state.refused" in refused
    assert reason.startswith(f"{registry}:6:11: models.small.pool: ")


async def test_two_do_not_share_a_state_directory(registry, state):
    addresses = ("--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0")
    async with serving(registry, "--state-dir", state):
        ended = await serve_process.run(registry, "--state-dir", state, *addresses)

    assert ended.code == 1
    assert ended.stderr.splitlines()[-1] == (
        f"--state-dir {state}: another `modelyard serve` uses it; "
        "give each one a directory of its own"
    )


def failed_writes(metrics):
    [count] = re.findall(r'state_writes_total\{result="failed"\} (\S+)', metrics)
    return float(count)


async def test_a_full_disk_is_said_once_and_stops_no_edit(registry, state):
    async with serving(registry, "--state-dir", state) as control_plane:
        await until_stored(state, control_plane.revision)
        pid, everything = control_plane.process.pid, resource.RLIM_INFINITY
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, everything))
        for attempt, text in enumerate((EDITED, REGISTRY, EDITED), 1):
            registry.write_text(text)
            await control_plane.until("/metrics", lambda text, n=attempt: failed_writes(text) >= n)
        edited = await control_plane.get("/status")
        assert not (state / SNAPSHOT).exists()
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (everything, everything))
        await until_stored(state, edited["revision"])
        ended = await control_plane.stop()

    assert edited["revision"] != control_plane.revision
    assert ended.stderr.count("state.write.failed") == 1
    assert ended.stderr.count("state.write.recovered") == 1
    assert "File too large" in ended.stderr


async def test_a_stop_stores_what_is_not_stored_yet(registry, state):
    async with serving(registry, "--state-dir", state) as control_plane:
        await control_plane.stop()

    await until_stored(state, control_plane.revision)


async def test_history_lists_what_was_served_and_rollback_brings_it_back(registry, state):
    async with serving(registry, "--state-dir", state) as control_plane:
        first = control_plane.revision
        registry.write_text(EDITED)
        second = (await control_plane.until("/status", lambda status: status["revision"] != first))[
            "revision"
        ]
        await until_stored(state, second)
        listed = await command.run("history", "--state-dir", state)
        back = await command.run("rollback", first[:6], "--state-dir", state)
        await control_plane.until("/status", lambda status: status["revision"] == first)

    lines = listed.stdout.splitlines()
    assert listed.code == back.code == 0
    assert [line.split()[0] for line in lines] == ["REVISION", second, first]
    assert back.stdout == f"{registry} is that of revision {first} again\n"
    assert registry.read_text() == REGISTRY


async def test_the_state_directory_may_come_from_the_environment(registry, state):
    async with serving(registry, MODELYARD_STATE_DIR=str(state)) as control_plane:
        await until_stored(state, control_plane.revision)
