"""`modelyard serve --state-dir` is killed and started again beside a real Envoy."""

from __future__ import annotations

import signal

import pytest

from tests.support.load import chat_request, continuous_load
from tests.support.restarts import restarting
from tests.support.state import until_stored

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
gateways: {default: {listen: "<gateway>"}}
extraction: {mode: native}
pools:
  blue: {endpoints: ["<blue>"]}
  old: {endpoints: ["<old>"]}
models:
  small: {pool: blue}
  moved: {pool: old}
"""
SERVERS = ("blue", "old", "fresh", "next")
REQUESTS = [chat_request("small"), chat_request("moved")]
CHANGES = "^(cluster_manager.cluster_|listener_manager.listener_).*(added|modified|removed)$"
"""What of Envoy's counters tells that it was given something else than it had."""
RESPONSES = "^cluster_manager.cds.update_success$"


@pytest.fixture
async def scene(tmp_path):
    async with restarting(tmp_path, REGISTRY, *SERVERS) as scene:
        yield scene


async def test_envoy_is_given_nothing_by_a_restart_after_a_kill(scene, variant):
    async with scene.serving() as first, scene.envoy(variant) as envoy:
        await scene.converged(first)
        await until_stored(scene.state, first.revision)
        before = await scene.stats(envoy, CHANGES)
        responses = await scene.stats(envoy, RESPONSES)
        async with continuous_load(str(scene.gateway), REQUESTS) as load:
            await first.stop(signal.SIGKILL)
            async with scene.serving() as second:
                await scene.converged(second)
                await scene.rebuilt(second)
                await load.answered(20)
                after = await scene.stats(envoy, CHANGES)
                responses_after = await scene.stats(envoy, RESPONSES)
                ended = await second.stop()

    assert load.report.failures == 0, load.report.summary()
    assert second.revision == first.revision
    assert len(before) >= 4
    assert after == before
    if variant == "delta":  # a full state says nothing new, and is said all the same
        assert responses_after == responses
    assert "state.restored" in ended.stderr


async def test_an_edit_while_it_was_down_is_taken_without_a_lost_request(scene, variant):
    """A pool goes with its server, and all servers of another are replaced."""
    async with scene.serving() as first, scene.envoy(variant):
        await scene.converged(first)
        await until_stored(scene.state, first.revision)
        async with continuous_load(str(scene.gateway), REQUESTS) as load:
            await load.answered(20)
            await first.stop(signal.SIGKILL)
            edited = REGISTRY.replace("<blue>", "<next>").replace("old: {", "fresh: {")
            scene.write(edited.replace("<old>", "<fresh>").replace("pool: old", "pool: fresh"))
            async with scene.serving() as second:
                await scene.converged(second, not_at=first.revision)
                await load.first(lambda sample: sample.server == "next")
                await load.first(lambda sample: sample.server == "fresh")
                await load.answered(20)

    assert load.report.failures == 0, load.report.summary()
    assert set(load.report.servers) == set(SERVERS)


async def test_an_envoy_that_starts_while_the_registry_is_broken_gets_the_last_good_one(
    scene, variant
):
    async with scene.serving() as first:
        await until_stored(scene.state, first.revision)
        await first.stop(signal.SIGKILL)
    scene.registry.write_text("version: 1\nmodels: {small: {pool: gone}}\n")
    async with scene.serving() as second, scene.envoy(variant):
        await scene.converged(second)
        async with continuous_load(str(scene.gateway), REQUESTS) as load:
            await load.answered(20)

    assert load.report.failures == 0, load.report.summary()
    assert second.revision == first.revision
