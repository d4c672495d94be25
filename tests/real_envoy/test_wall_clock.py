"""The wall clock of the control plane is set forwards and back by an hour while Envoy is told."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from tests.support import command
from tests.support.faults import ANSWERS_BETWEEN, template, under_load, weight_is
from tests.support.state import until_stored
from tests.support.wall_clock import WallClock

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(150)]

HOUR_S = 3600
STEPS = (HOUR_S, -HOUR_S, 0)
A_MOMENT = timedelta(minutes=3)
"""Longer than this test takes."""


def ages(status):
    """Return how long ago everything was that *status* tells."""
    now = datetime.fromisoformat(status["at"])
    nodes = status["nodes"]
    told = [status["registry"]["loaded_at"], *(node["connected_at"] for node in nodes)]
    told += [node["disconnected_at"] for node in nodes if node["disconnected_at"]]
    return [now - datetime.fromisoformat(at) for at in told]


async def test_edits_flow_on_and_what_was_a_moment_ago_stays_so(variant, tmp_path, measured):
    clock, state = WallClock(tmp_path), tmp_path / "state"
    how = {"arguments": ("--state-dir", state), **clock.environment}
    revisions = []
    async with under_load(tmp_path, variant, **how) as (deployed, load):
        [replica] = deployed.replicas
        began = datetime.fromisoformat((await replica.status())["at"])
        revisions.append(replica.revision)
        for weight, off_by_s in enumerate(STEPS, 7):
            clock.set_off(off_by_s)
            stepped = await replica.status()
            deployed.copy_out(template(weight))
            with measured.recovery():
                await weight_is(weight, deployed.envoy)
            waited = await command.run("wait", "--status-url", replica.status_url)
            status = await replica.status()
            revisions.append(status["revision"])

            off_by = datetime.fromisoformat(status["at"]) - began - timedelta(seconds=off_by_s)
            assert timedelta(0) <= off_by < A_MOMENT, "the clock was not set"
            assert all(timedelta(0) <= age < A_MOMENT for age in [*ages(stepped), *ages(status)])
            assert waited.code == 0, waited
        await load.answered(ANSWERS_BETWEEN)
        await until_stored(state, revisions[-1])
        history = await command.run("history", "--state-dir", state, "--json")

        # A process that begins before what is stored was, by its clock.
        await replica.kill()
        clock.set_off(-HOUR_S)
        await replica.start()
        await deployed.used(replica)
        assert all(timedelta(0) <= age < A_MOMENT for age in ages(await replica.status()))
        deployed.copy_out(template(1))
        await weight_is(1, deployed.envoy)
        edits = replica.logged("fleet.converged")

    assert replica.logged("state.restored")
    assert [entry["revision"] for entry in json.loads(history.stdout)] == revisions[::-1]
    assert all(0 <= entry["seconds"] < A_MOMENT.total_seconds() for entry in edits)
    assert not replica.logged("fleet.behind")
