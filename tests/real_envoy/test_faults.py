"""What goes wrong around an Envoy with one control plane: no request notices, and edits arrive."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import pytest

from tests.support.faults import ANSWERS_BETWEEN, lasting, template, under_load, weight_is
from tests.support.memory import resident_mib
from tests.support.replicas import Replica, Replicated, until

EDITS = int(os.environ.get("MODELYARD_EDITS_IN_A_ROW", "60"))
"""1,000 to be thorough."""
FREEZE_S = float(os.environ.get("MODELYARD_FREEZE_S", "5"))
"""30 to be thorough; Envoy leaves what does not answer after 8."""
MIB_THAT_EDITS_MAY_KEEP = 30

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120 + EDITS + FREEZE_S)]


async def test_an_edit_during_a_freeze_arrives_after_it(variant, tmp_path, measured):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        replica.freeze()
        deployed.copy_out(template(7))
        lost = "cluster.modelyard-xds.upstream_cx_destroy_local_with_active_rq"
        await until(lambda: gave_up(deployed, lost))
        await load.answered(ANSWERS_BETWEEN)
        replica.thaw()
        with measured.recovery():
            await weight_is(7, deployed.envoy)


async def gave_up(deployed: Replicated, counter: str) -> bool:
    """Tell whether Envoy has found out that the control plane does not answer."""
    return (await deployed.stats(counter)).get(counter, 0) > 0


async def test_a_freeze_is_noticed_by_nobody_however_long_it_lasts(variant, tmp_path, measured):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        replica.freeze()
        await lasting(load, FREEZE_S)
        replica.thaw()
        deployed.copy_out(template(7))
        with measured.recovery():
            await weight_is(7, deployed.envoy)
        assert (await replica.nodes())["envoy-1"]["connected"]


async def test_a_kill_and_a_start_are_noticed_by_nobody(variant, tmp_path, measured):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        revision = replica.revision
        for _ in range(3):
            await replica.kill()
            await load.answered(ANSWERS_BETWEEN)
            with measured.recovery():
                await replica.start()
                await deployed.used(replica)
            assert replica.revision == revision


async def test_an_edit_while_the_only_one_is_killed_arrives_when_it_is_back(
    variant, tmp_path, measured
):
    async with under_load(tmp_path, variant) as (deployed, load):
        [replica] = deployed.replicas
        await replica.kill()
        deployed.copy_out(template(7))
        await load.answered(ANSWERS_BETWEEN)
        with measured.recovery():
            await replica.start()
            await weight_is(7, deployed.envoy)


async def test_of_two_edits_at_once_the_second_is_what_envoy_runs(variant, tmp_path, measured):
    async with under_load(tmp_path, variant) as (deployed, _):
        for weight in (7, 8):
            deployed.copy_out(template(weight))
        with measured.recovery():
            await weight_is(8, deployed.envoy)


@asynccontextmanager
async def many_edits(folder, variant, measured):
    """Run a deployment with a state directory and its load; the memory of it must not grow."""
    state = ("--state-dir", folder / "state")
    async with under_load(folder, variant, arguments=state) as (deployed, load):
        [replica] = deployed.replicas
        deployed.copy_out(template(99))  # what is made for the first edit is there afterwards
        await weight_is(99, deployed.envoy)
        before = resident_mib(replica.process.pid)
        yield deployed, load
        after = resident_mib(replica.process.pid)
        rejected = await deployed.stats("update_rejected$")
        measured.note("resident_mib", f"{before:.1f} before, {after:.1f} after")
        measured.note("published", published(replica))

    assert not any(rejected.values())
    assert after - before < MIB_THAT_EDITS_MAY_KEEP


def published(replica: Replica) -> int:
    return len(replica.logged("snapshot.published"))


async def test_edits_as_fast_as_can_be_end_with_the_last(variant, tmp_path, measured):
    async with many_edits(tmp_path, variant, measured) as (deployed, load):
        for weight in range(100, 100 + EDITS):
            deployed.copy_out(template(weight))
            await load.answered(2)
        with measured.recovery():
            await weight_is(99 + EDITS, deployed.envoy)


async def test_edits_in_a_row_are_each_what_envoy_runs(variant, tmp_path, measured):
    async with many_edits(tmp_path, variant, measured) as (deployed, _):
        before = published(deployed.replicas[0])
        for weight in range(100, 100 + EDITS):
            deployed.copy_out(template(weight))
            await weight_is(weight, deployed.envoy)

    assert published(deployed.replicas[0]) - before == EDITS
