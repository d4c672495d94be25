"""Half of twenty Envoys are cut off from the control plane, which is edited, and are back later.

Four are real ones, under load; the others are light clients that accept whatever they are told.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.support import command
from tests.support.ads_crowd import CrowdMember, crowd
from tests.support.faults import ANSWERS_BETWEEN, another_envoy, template, weight_is
from tests.support.link import Link, linked
from tests.support.live_registry import FIRST_SERVERS, requests
from tests.support.load import Load, continuous_load
from tests.support.replicas import Replica, Replicated, replicated, until
from xds_server.address import Address
from xds_server.demo.envoy import Envoy
from xds_server.demo.stack import free_address

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(180)]

OTHERS = ("second", "third", "fourth")
"""Node clusters, and ids, of the Envoys beside the first."""
CUT_OFF = ("third", "fourth")
LIGHT_ONES = 8
"""In each half."""
LOST = "cluster.modelyard-xds.upstream_cx_destroy_local_with_active_rq"


@dataclass(frozen=True, slots=True)
class Scene:
    """Two halves of a fleet, and the link over which one of them is told."""

    deployed: Replicated
    link: Link
    gateways: dict[str, Address]
    envoys: dict[str, Envoy]
    loads: list[Load]
    near: list[CrowdMember]
    far: list[CrowdMember]

    @property
    def replica(self) -> Replica:
        [replica] = self.deployed.replicas
        return replica

    def edit(self, weight: int) -> None:
        self.deployed.copy_out(template(weight, self.gateways))

    async def wait(self, *arguments: str) -> command.Ended:
        return await command.run("wait", "--status-url", self.replica.status_url, *arguments)

    async def answered(self) -> None:
        for load in self.loads:
            await load.answered(ANSWERS_BETWEEN)

    async def has_given_up(self, name: str) -> bool:
        """Tell whether the Envoy *name* has found that the control plane does not answer."""
        url = f"http://{self.envoys[name].admin_address}/stats?format=json&filter={LOST}"
        async with self.deployed.session.get(url) as answer:
            stats = (await answer.json(content_type=None))["stats"]
        return any(stat.get("value") for stat in stats)


@asynccontextmanager
async def twenty_envoys(folder, variant):
    gateways = {name: free_address() for name in OTHERS}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        deployed = await enter(
            replicated(template(1, gateways), FIRST_SERVERS, folder, variant, replicas=1)
        )
        xds_address = deployed.replicas[0].xds_address
        link = await enter(linked(xds_address))
        envoys = {"envoy-1": deployed.envoy}
        for name in OTHERS:
            xds = (link.address,) if name in CUT_OFF else ()
            envoys[name] = await enter(another_envoy(deployed, name, xds))
        near = await crowd(str(xds_address), LIGHT_ONES, name="near")
        far = await crowd(str(link.address), LIGHT_ONES, name="far")
        for member in (*near, *far):
            stack.callback(member.close)
        await weight_is(1, *envoys.values())
        loads = [
            await enter(continuous_load(str(address), requests(), workers=1))
            for address in (deployed.gateway, *gateways.values())
        ]
        scene = Scene(deployed, link, gateways, envoys, loads, near, far)
        await scene.answered()
        yield scene
        await scene.answered()
    for load in scene.loads:
        assert load.report.failures == 0, load.report.summary()


async def test_half_of_twenty_are_cut_off_and_come_back_to_the_newest(variant, tmp_path, measured):
    async with twenty_envoys(tmp_path, variant) as scene:
        together = await scene.wait("--nodes", "20")
        scene.link.cut()
        for weight in (7, 8):
            scene.edit(weight)
            await weight_is(weight, scene.envoys["envoy-1"], scene.envoys["second"])
        late = await scene.wait("--timeout", "1s")
        for name in CUT_OFF:
            await until(lambda name=name: scene.has_given_up(name))
        scene.edit(9)
        await weight_is(9, scene.envoys["envoy-1"], scene.envoys["second"])
        await scene.answered()
        scene.link.heal()
        with measured.recovery():
            again = await scene.wait("--nodes", "20")
        await weight_is(9, *scene.envoys.values())
        nodes = await scene.replica.nodes()

    cut_off = {*CUT_OFF, *(member.node_id for member in scene.far)}
    behind = {line.split()[0] for line in late.stderr.splitlines() if "is not there yet" in line}
    assert (together.code, late.code, again.code) == (0, 1, 0), (together, late, again)
    assert behind == cut_off
    assert " runs on 10 of 20 Envoys connected" in late.stderr
    assert again.stdout.split(" (")[0].endswith("runs on 20 Envoys")
    assert len(nodes) == 20
    assert not any(member.lost for member in (*scene.near, *scene.far))


async def test_a_cut_that_is_shorter_than_envoy_notices_is_made_up_for(variant, tmp_path, measured):
    async with twenty_envoys(tmp_path, variant) as scene:
        scene.link.cut()
        scene.edit(7)
        await weight_is(7, scene.envoys["envoy-1"], scene.envoys["second"])
        scene.link.heal()
        with measured.recovery():
            await weight_is(7, *scene.envoys.values())
