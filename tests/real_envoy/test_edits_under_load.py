"""No request is lost: not by an edit, a bad edit, or a restart of what is around Envoy."""

import asyncio
import os
from contextlib import asynccontextmanager
from itertools import cycle, islice

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.live_registry import (
    FIRST_SERVERS,
    LiveRegistry,
    first_template,
    requests,
)
from tests.support.load import Load, continuous_load

pytestmark = pytest.mark.envoy

EDITS = int(os.environ.get("MODELYARD_EDITS", "25"))
"""Edits of `test_edits_of_every_kind_lose_no_request` for each variant."""
WORKERS = 2
"""Threads of Envoy; an update reaches each at a moment of its own."""
SLOW_HEALTH = {"health_latency_s": 0.3}
ANSWERS_BETWEEN = 40


@asynccontextmanager
async def under_load(folder, variant):
    """Run a deployment and ask it all the time; yields it, its registry and the load."""
    async with deployment(
        first_template(), FIRST_SERVERS, folder, variant, workers=WORKERS
    ) as deployed:
        registry = LiveRegistry(deployed)
        async with continuous_load(str(deployed.gateway), requests(), workers=8) as load:
            await load.answered(ANSWERS_BETWEEN)
            yield deployed, registry, load
            await load.answered(ANSWERS_BETWEEN)


def assert_no_request_was_lost(load: Load) -> None:
    assert load.report.failures == 0, load.report.summary()
    assert load.report.requests > 2 * ANSWERS_BETWEEN


@pytest.mark.timeout(60 + 2 * EDITS)
async def test_edits_of_every_kind_lose_no_request(variant, tmp_path):
    async with under_load(tmp_path, variant) as (_, registry, load):
        for edit in islice(cycle(registry.edits()), EDITS):
            await edit()
            await registry.save()
            await load.answered(ANSWERS_BETWEEN)
            assert load.report.failures == 0, (edit.__name__, load.report.summary())

    assert_no_request_was_lost(load)


async def test_traffic_moved_to_a_pool_whose_health_is_slow_to_tell_is_not_lost(variant, tmp_path):
    async with under_load(tmp_path, variant) as (_, registry, load):
        await registry.move_traffic_to_a_new_pool(**SLOW_HEALTH)
        await registry.save()
        await load.first(lambda sample: sample.pool == "fresh")

    assert_no_request_was_lost(load)


async def test_servers_replaced_by_ones_whose_health_is_slow_to_tell_lose_no_request(
    variant, tmp_path
):
    async with under_load(tmp_path, variant) as (deployed, registry, load):
        await registry.replace_all_endpoints(**SLOW_HEALTH)
        await registry.save()
        [new] = set(deployed.servers) - set(FIRST_SERVERS)
        await load.first(lambda sample: sample.server == new)

    assert_no_request_was_lost(load)


async def test_an_edit_while_new_servers_are_checked_loses_no_request(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, registry, load):
        await registry.replace_all_endpoints(**SLOW_HEALTH)
        registry.write()
        [new] = set(deployed.servers) - set(FIRST_SERVERS)
        while not deployed.servers[new].requests["/health"]:
            await load.answered(1)
        await registry.change_timeouts()
        await registry.save()
        await load.first(lambda sample: sample.server == new)

    assert_no_request_was_lost(load)


async def test_edits_that_wait_for_nothing_lose_no_request(variant, tmp_path):
    async with under_load(tmp_path, variant) as (_, registry, load):
        for edit in registry.edits():
            await edit()
            registry.write()
            await load.answered(20)
        await registry.save()

    assert_no_request_was_lost(load)


async def test_a_bad_edit_loses_no_request_and_shows_until_it_is_repaired(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, registry, load):
        before = await deployed.status()
        deployed.registry.write_text("version: 1\npools: [what?]\n")
        async with asyncio.timeout(10):
            while not (await deployed.status())["registry"]["error"]:
                await load.answered(1)
        broken = await deployed.status()
        await load.answered(ANSWERS_BETWEEN)
        await registry.change_weights()
        await registry.save()
        repaired = await deployed.status()

    assert "pools" in broken["registry"]["error"]
    assert broken["revision"] == before["revision"]
    assert broken["nodes"] == before["nodes"]
    assert repaired["registry"]["error"] is None
    assert repaired["revision"] != before["revision"]
    assert_no_request_was_lost(load)


async def test_a_restart_of_the_control_plane_loses_no_request_and_changes_nothing(
    variant, tmp_path
):
    async with under_load(tmp_path, variant) as (deployed, registry, load):
        before = await changes(deployed)
        revision = (await deployed.status())["revision"]
        await deployed.control_plane.stop()
        await load.answered(ANSWERS_BETWEEN)
        await deployed.control_plane.start()
        await load.answered(ANSWERS_BETWEEN)
        await deployed.converged()
        after = await changes(deployed)
        sent = await responses(deployed)
        status = await deployed.status()
        await registry.change_weights()
        await registry.save()

    assert status["revision"] == revision
    assert after == before
    # A delta client told what it has; a state-of-the-world client cannot.
    assert sent == 0 if variant == "delta" else sent > 0
    assert_no_request_was_lost(load)


async def test_an_edit_while_the_control_plane_is_away_is_made_up_for(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, registry, load):
        if variant == "sotw":
            # A state-of-the-world client does not tell which clusters it holds, so a new control
            # plane could not keep one until the routes have left it.
            registry.models["stays"] = {"pool": "solo"}
            await registry.save()
        await deployed.control_plane.stop()
        await registry.move_traffic_to_a_new_pool(**SLOW_HEALTH)
        await registry.add_an_endpoint()
        await registry.change_the_name_that_a_pool_expects()
        registry.write()
        await load.answered(ANSWERS_BETWEEN)
        await deployed.control_plane.start()
        await registry.save()
        await load.first(lambda sample: sample.pool == "fresh")

    assert_no_request_was_lost(load)


async def test_a_restart_of_the_companion_loses_no_request(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, _, load):
        await deployed.companion.stop()
        await load.answered(ANSWERS_BETWEEN)
        await deployed.companion.start()
        await load.answered(ANSWERS_BETWEEN)

    assert_no_request_was_lost(load)


async def changes(deployed: Deployment) -> dict[str, int]:
    """Return how often anything that Envoy runs has changed."""
    counted = await deployed.stats(
        r"(cluster_(added|modified|removed|updated)"
        r"|listener_(added|modified|removed|create_success|in_place_updated)"
        r"|config_reload|membership_change)$"
    )
    if deployed.variant == "sotw":
        # A new stream brings the world anew, and scopes are counted without being compared.
        del counted["http.default.scoped_rds.models.config_reload"]
    return counted


async def responses(deployed: Deployment) -> int:
    """Return how many xDS responses the control plane has sent since it started."""
    control_plane, _ = deployed.control_plane.running
    samples = (sample for metric in control_plane.metrics.collect() for sample in metric.samples)
    return sum(s.value for s in samples if s.name == "modelyard_xds_responses_total")
