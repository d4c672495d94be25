"""Several control planes on copies of one file: Envoy takes another and is sent nothing anew."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.support.live_registry import FIRST, FIRST_SERVERS, first_template, requests
from tests.support.load import Load, continuous_load
from tests.support.replicas import Replica, Replicated, replicated, until

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]

ANSWERS_BETWEEN = 40
EDITED = first_template().replace("70", "60").replace("30", "40")


@asynccontextmanager
async def under_load(folder, variant, replicas=2):
    """Run several control planes and one Envoy, and ask it all the time."""
    async with (
        replicated(first_template(), FIRST_SERVERS, folder, variant, replicas=replicas) as deployed,
        continuous_load(str(deployed.gateway), requests(), workers=4) as load,
    ):
        await load.answered(ANSWERS_BETWEEN)
        yield deployed, load
        await load.answered(ANSWERS_BETWEEN)
    assert load.report.failures == 0, load.report.summary()


async def changes(deployed: Replicated) -> dict[str, int]:
    """Return how often anything that Envoy runs has changed."""
    counted = await deployed.stats(
        r"(cluster_(added|modified|removed)"
        r"|listener_(added|modified|removed|create_success|in_place_updated)"
        r"|config_reload|membership_change)$"
    )
    counted = {k: v for k, v in counted.items() if not k.startswith("cluster.modelyard-")}
    if deployed.variant == "sotw":
        # A new stream brings the world anew, and scopes are counted without being compared.
        del counted["http.default.scoped_rds.models.config_reload"]
    return counted


async def assert_nothing_was_sent_anew(
    deployed: Replicated, by: Replica, before: dict[str, int]
) -> None:
    assert await changes(deployed) == before
    # A delta client tells what it has; a state-of-the-world client cannot.
    assert (await by.responses() == 0) == (deployed.variant == "delta")


async def edit_arrives(deployed: Replicated, load: Load, on: Replica) -> None:
    """Edit every copy and see that Envoy, which is connected to *on*, takes it."""
    before = (await on.status())["revision"]
    deployed.copy_out(EDITED)

    async def taken() -> bool:
        node = (await on.nodes()).get("envoy-1")
        return bool(node and node["converged"] and node["revision"] != before)

    await until(taken)
    await load.answered(ANSWERS_BETWEEN)


async def test_all_tell_the_same_revision_before_and_after_an_edit(variant, tmp_path):
    async with under_load(tmp_path, variant, replicas=3) as (deployed, load):
        first = {replica.revision for replica in deployed.replicas}
        used = await deployed.used(*deployed.replicas)
        await edit_arrives(deployed, load, used)

        async def agreed() -> bool:
            revisions = {(await replica.status())["revision"] for replica in deployed.replicas}
            return len(revisions) == 1 and revisions != first

        await until(agreed)

    assert len(first) == 1


async def test_envoy_takes_another_when_one_is_killed_and_is_sent_nothing(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, load):
        used = await deployed.used(*deployed.replicas)
        before = await changes(deployed)
        await used.kill()
        other = await deployed.used(*deployed.others(used))
        await load.answered(ANSWERS_BETWEEN)

        await assert_nothing_was_sent_anew(deployed, other, before)
        await edit_arrives(deployed, load, other)


async def test_envoy_leaves_one_that_is_frozen(variant, tmp_path):
    async with under_load(tmp_path, variant) as (deployed, load):
        used = await deployed.used(*deployed.replicas)
        before = await changes(deployed)
        used.freeze()
        other = await deployed.used(*deployed.others(used))

        await assert_nothing_was_sent_anew(deployed, other, before)
        await edit_arrives(deployed, load, other)
        used.thaw()
        await load.answered(ANSWERS_BETWEEN)
        assert (await other.nodes())["envoy-1"]["converged"]


async def test_with_two_of_three_gone_the_third_is_found(variant, tmp_path):
    async with under_load(tmp_path, variant, replicas=3) as (deployed, load):
        before = await changes(deployed)
        left = list(deployed.replicas)
        while len(left) > 1:
            used = await deployed.used(*left)
            left.remove(used)
            await used.kill()
        [last] = left
        await deployed.used(last)

        await assert_nothing_was_sent_anew(deployed, last, before)
        await edit_arrives(deployed, load, last)


async def test_a_rolling_upgrade_sends_nothing_anew_and_loses_no_request(variant, tmp_path):
    """Each in turn is told to stop, and another process takes its address."""
    async with under_load(tmp_path, variant) as (deployed, load):
        before = await changes(deployed)
        revision = deployed.replicas[0].revision
        for replica in deployed.replicas:
            ended = await replica.stop()
            [other] = deployed.others(replica)
            await deployed.used(other)
            await load.answered(ANSWERS_BETWEEN)
            await replica.start()
            assert (ended.code, replica.revision) == (0, revision)
            assert replica.logged("server.stopped")

        used = await deployed.used(*deployed.replicas)
        await assert_nothing_was_sent_anew(deployed, used, before)
        await edit_arrives(deployed, load, used)


LONG_DRAIN = {**FIRST, "drain": "300s"}
MORE = {
    **LONG_DRAIN,
    "pools": {**FIRST["pools"], "spare": {"endpoints": ["<solo-1>"]}},
    "models": {**FIRST["models"], "spare": {"pool": "spare"}},
}


async def drains(deployed: Replicated, on: Replica) -> None:
    """Add a pool and take it away; see that it is gone long before its deadline."""
    for content in (MORE, LONG_DRAIN):
        before = (await on.status())["revision"]
        deployed.copy_out(json.dumps(content))
        await until(partial(is_taken, on, before))

    async def gone() -> bool:
        return (await on.status())["draining"] == []

    assert not await gone()
    await until(gone)


async def is_taken(on: Replica, before: str) -> bool:
    node = (await on.nodes()).get("envoy-1")
    return bool(node and node["converged"] and node["revision"] != before)


async def test_load_reports_go_to_the_control_plane_that_configures(variant, tmp_path):
    """Envoy chooses one for each of its streams: who does not configure it sends it on."""
    async with replicated(json.dumps(LONG_DRAIN), FIRST_SERVERS, tmp_path, variant) as deployed:
        used = await deployed.used(*deployed.replicas)
        await drains(deployed, used)
        await used.kill()
        other = await deployed.used(*deployed.others(used))
        await drains(deployed, other)
