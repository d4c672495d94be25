"""The registry is where the system tells of no changes: they are found by looking, said once."""

from __future__ import annotations

import pytest

from tests.support.faults import template, under_load, weight_is
from tests.support.namespace import namespace

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]

CHANGED_BELOW = """\
mount -t tmpfs tmpfs /mnt
mkdir /mnt/none
mount -t overlay -o 'lowerdir={0}:/mnt/none' overlay '{0}'
"""
"""The control plane sees the registry's directory through an overlay, and the registry is written
below it: there is a watch, which is told of nothing, as on a network file system."""
NO_WATCH_LEFT = "echo 0 > /proc/sys/user/max_inotify_instances"
"""The system refuses it a watch."""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (CHANGED_BELOW, "a change was seen that no notification told of"),
        (NO_WATCH_LEFT, "Too many open files"),
    ],
    ids=["no-events", "no-watch"],
)
async def test_edits_arrive_all_the_same_and_it_is_said_once(
    variant, tmp_path, script, reason, measured
):
    async with (
        namespace(script.format(tmp_path)) as without,
        under_load(tmp_path, variant, launcher=without.launcher) as (deployed, _),
    ):
        for weight in (7, 8, 9):
            deployed.copy_out(template(weight))
            with measured.recovery():
                await weight_is(weight, deployed.envoy)
        [said] = deployed.replicas[0].logged("registry.watch.polling")

    assert reason in said["error_message"]
