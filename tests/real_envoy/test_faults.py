"""What goes wrong around an Envoy with one control plane: no request notices, and edits arrive."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import pytest

from tests.support.live_registry import FIRST_SERVERS, first_template, requests
from tests.support.load import continuous_load
from tests.support.replicas import Replica, Replicated, replicated, until
from xds_server.demo.envoy import running_envoy

EDITS = int(os.environ.get("MODELYARD_EDITS_IN_A_ROW", "60"))
"""1,000 to be thorough."""
ANSWERS_BETWEEN = 40

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120 + EDITS)]


def template(weight: int) -> str:
    return first_template().replace('"base": 70', f'"base": {weight}')


@asynccontextmanager
async def under_load(folder, variant):
    """Run one control plane and one Envoy, and ask it all the time."""
    async with (
        replicated(template(1), FIRST_SERVERS, folder, variant, replicas=1) as deployed,
        continuous_load(str(deployed.gateway), requests(), workers=4) as load,
    ):
        await load.answered(ANSWERS_BETWEEN)
        yield deployed, load
        await load.answered(ANSWERS_BETWEEN)
    assert load.report.failures == 0, load.report.summary()


async def weight_is(deployed: Replicated, weight: int) -> None:
    """Wait until Envoy runs the registry with *weight*."""

    async def holds() -> bool:
        dump = await deployed.admin("/config_dump?resource=dynamic_route_configs")
        scoped = (entry["route_config"] for entry in dump["configs"])
        [chat] = (route for route in scoped if route["name"] == "model/chat")
        return f"'weight': {weight}," in str(chat) or f"'weight': {weight}}}" in str(chat)

    await until(holds)


async def test_an_edit_during_a_freeze_arrives_after_it(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        replica.freeze()
        deployed.copy_out(template(7))
        lost = "cluster.modelyard-xds.upstream_cx_destroy_local_with_active_rq"
        await until(lambda: gave_up(deployed, lost))
        await load.answered(ANSWERS_BETWEEN)
        replica.thaw()
        await weight_is(deployed, 7)


async def gave_up(deployed: Replicated, counter: str) -> bool:
    """Tell whether Envoy has found out that the control plane does not answer."""
    return (await deployed.stats(counter)).get(counter, 0) > 0


async def test_an_edit_while_the_only_one_is_killed_arrives_when_it_is_back(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        await replica.kill()
        deployed.copy_out(template(7))
        await load.answered(ANSWERS_BETWEEN)
        await replica.start()
        await weight_is(deployed, 7)


async def test_an_envoy_that_is_killed_serves_again_as_soon_as_it_is_started(variant, tmp_path):
    async with replicated(template(1), FIRST_SERVERS, tmp_path, variant, replicas=1) as deployed:
        deployed.envoy.process.kill()
        await deployed.envoy.process.wait()
        deployed.copy_out(template(7))
        await until(lambda: alone(deployed.replicas[0]))
        async with running_envoy(deployed.bootstrap(), tmp_path) as deployed.envoy:
            await weight_is(deployed, 7)
            gateway = str(deployed.gateway)
            async with continuous_load(gateway, requests(), workers=4) as load:
                await load.answered(4 * ANSWERS_BETWEEN)

    assert load.report.failures == 0, load.report.summary()


async def alone(replica: Replica) -> bool:
    return not await replica.nodes()


async def test_of_two_edits_at_once_the_second_is_what_envoy_runs(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, _):
        for weight in (7, 8):
            deployed.copy_out(template(weight))
        await weight_is(deployed, 8)


async def test_edits_in_a_row_end_with_the_last(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, load):
        for weight in range(100, 100 + EDITS):
            deployed.copy_out(template(weight))
            await load.answered(2)
        await weight_is(deployed, 99 + EDITS)
        rejected = await deployed.stats("update_rejected$")

    assert not any(rejected.values())
