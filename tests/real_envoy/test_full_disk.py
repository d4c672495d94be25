"""The disk that holds the state directory is full: Envoys are served, and it is said once."""

from __future__ import annotations

import errno
from itertools import pairwise

import pytest

from tests.support.faults import ANSWERS_BETWEEN, template, under_load, weight_is
from tests.support.namespace import namespace
from tests.support.replicas import until
from tests.support.state import until_stored

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(150)]

MOUNT = "mount -t tmpfs -o size=2m tmpfs '{}'"
CHUNK = bytes(4096)
STATE_EVENTS = ("state.write.failed", "state.write.recovered")


def fill(filler) -> None:
    """Write to the file *filler* until its disk has no room."""
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(CHUNK):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - whatever else it is, is a fault


async def test_a_full_disk_costs_no_edit_and_is_said_once(variant, tmp_path, measured):
    state = tmp_path / "state"
    state.mkdir()
    async with namespace(MOUNT.format(state)) as disk:
        seen, filler = disk.path(state), disk.path(state / "filler")
        how = {"arguments": ("--state-dir", state), "launcher": disk.launcher}
        async with under_load(tmp_path, variant, **how) as (deployed, load):
            [replica] = deployed.replicas

            async def said(event: str) -> bool:
                return bool(replica.logged(event))

            await until_stored(seen, replica.revision)
            fill(filler)
            deployed.copy_out(template(7))
            await weight_is(7, deployed.envoy)
            await until(lambda: said("state.write.failed"))
            fill(filler)  # what was stored is gone, which made room
            deployed.copy_out(template(8))
            await weight_is(8, deployed.envoy)

            first = replica.logged(*STATE_EVENTS)
            await replica.kill()
            deployed.copy_out(template(9))
            await replica.start()
            await weight_is(9, deployed.envoy)
            await load.answered(ANSWERS_BETWEEN)

            filler.unlink()
            with measured.recovery():
                await until_stored(seen, (await replica.status())["revision"])
            await until(lambda: said("state.write.recovered"))

    second = replica.logged(*STATE_EVENTS)[len(first) :]
    for said_by_one in (first, second):
        events = [entry["event"] for entry in said_by_one]
        assert events[0] == "state.write.failed"
        assert all(event != following for event, following in pairwise(events))
    assert first[0]["error_message"] == "No space left on device"
    assert second[-1]["event"] == "state.write.recovered"
