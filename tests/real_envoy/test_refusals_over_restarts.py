"""What a real Envoy has refused is not sent again, whoever restarts: the last accepted serves."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.support import command
from tests.support.restarts import restarting
from tests.support.state import until_refusals_stored, until_stored

pytestmark = pytest.mark.envoy

SABOTAGED = ("-m", "tests.support.sabotage")
GOOD = """\
version: 1
gateways: {default: {listen: "<gateway>"}}
extraction: {mode: native}
pools:
  blue: {endpoints: ["<blue>"], health_check: false}
  green: {endpoints: ["<green>"], health_check: false}
  red: {endpoints: ["<red>"], health_check: false}
models:
  small: {pool: blue}
  other: {pool: green}
  third: {pool: red}
"""
BAD = GOOD.replace('<red>"]', '<red>"], connect_timeout: 6.66s').replace(
    "small: {pool: blue}", "small: {pool: green, timeout: 6.66s}"
)
"""A cluster becomes bad, and so does the route of a model, whose pool leaves with its old route."""
REFUSED = {"pool/red", "model/small"}
RESTARTS = [
    pytest.param({"envoy"}, id="envoy"),
    pytest.param({"control plane"}, id="control-plane"),
    pytest.param({"envoy", "control plane"}, id="both"),
]
TIMEOUT_S = 20.0


class Fleet:
    """The control plane and the Envoys of a scene, as they are at the moment."""

    def __init__(self, scene, variant):
        self.scene, self.variant = scene, variant
        self.control_plane = None
        self.envoys = {}
        self._serving = AsyncExitStack()
        self._running = {}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for name in tuple(self.envoys):
            await self.kill_envoy(name)
        await self._serving.aclose()

    async def serve(self):
        serving = self.scene.serving(program=SABOTAGED)
        self.control_plane = await self._serving.enter_async_context(serving)

    async def kill_control_plane(self):
        await self.control_plane.stop(signal.SIGKILL)

    async def run_envoy(self, name):
        self._running[name] = AsyncExitStack()
        envoy = self.scene.envoy(self.variant, name)
        self.envoys[name] = await self._running[name].enter_async_context(envoy)

    async def kill_envoy(self, name):
        self.envoys.pop(name).process.kill()
        await self._running.pop(name).aclose()

    async def status(self, fits):
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                url = self.control_plane.status_url + "/status"
                async with self.scene.session.get(url) as answer:
                    status = await answer.json()
                if fits(status):
                    return status
                await asyncio.sleep(0.02)

    async def rejections(self):
        """Return how many responses the control plane that runs was refused."""
        async with self.scene.session.get(self.control_plane.status_url + "/metrics") as answer:
            lines = (await answer.text()).splitlines()
        name = "modelyard_xds_rejections_total{"
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    async def rejected_updates(self, name):
        stats = await self.scene.stats(self.envoys[name], r"\.update_rejected$")
        assert stats
        return sum(stats.values())

    async def servers_of(self, model, times=12):
        """Return who answers for *model*, asked by connections of their own."""
        url, body = f"http://{self.scene.gateway}/v1/chat/completions", {"model": model}
        servers = set()
        for _ in range(times):
            async with aiohttp.ClientSession() as client, client.post(url, json=body) as answer:
                assert answer.status == 200, await answer.text()
                servers.add(answer.headers["x-simulate-server"])
        return servers

    async def until_served_by(self, model, server):
        async with asyncio.timeout(TIMEOUT_S):
            while await self.servers_of(model, 8) != {server}:  # noqa: ASYNC110 - Envoy answers
                await asyncio.sleep(0.02)


def refusals(status):
    return {n["id"]: n["rejected"] for n in status["nodes"] if n["connected"] and n["rejected"]}


def has_refused(name):
    return lambda status: refusals(status).get(name)


def converged(*names):
    def fits(status):
        return {n["id"] for n in status["nodes"] if n["converged"]} == set(names)

    return fits


@pytest.fixture
async def fleet(tmp_path, variant):
    async with (
        restarting(tmp_path, GOOD, "blue", "green", "red") as scene,
        Fleet(scene, variant) as fleet,
    ):
        await fleet.serve()
        await fleet.run_envoy("envoy-1")
        await fleet.status(converged("envoy-1"))
        yield fleet


async def quarantine(fleet):
    """Have the bad edit refused, and wait until that is stored."""
    fleet.scene.write(BAD)
    status = await fleet.status(has_refused("envoy-1"))
    await until_refusals_stored(fleet.scene.state, fleet.scene.registry, REFUSED)
    await until_stored(fleet.scene.state, status["revision"])


@pytest.mark.parametrize("restarted", RESTARTS)
async def test_what_was_refused_stays_away_and_all_else_goes_on(fleet, restarted):
    await quarantine(fleet)
    rejected = await fleet.rejected_updates("envoy-1")
    assert rejected > 0

    if "control plane" in restarted:
        await fleet.kill_control_plane()
    if "envoy" in restarted:
        await fleet.kill_envoy("envoy-1")
        rejected = 0
    if "control plane" in restarted:
        await fleet.serve()
    told = await fleet.rejections()
    if "envoy" in restarted:
        await fleet.run_envoy("envoy-1")

    status = await fleet.status(has_refused("envoy-1"))
    place = refusals(status)["envoy-1"]["registry_place"]
    assert place in {
        f"{fleet.scene.registry}:7:3 (pools.red)",
        f"{fleet.scene.registry}:9:3 (models.small)",
    }
    assert await fleet.servers_of("small") == {"blue"}
    assert await fleet.servers_of("other") == {"green"}

    await fleet.run_envoy("envoy-2")
    status = await fleet.status(lambda s: any(n["kept_from"] for n in s["nodes"]))
    (newcomer,) = [n for n in status["nodes"] if n["id"] == "envoy-2"]
    assert newcomer["rejected"] is None
    assert newcomer["kept_from"]["by"] == "envoy-1"
    assert newcomer["kept_from"]["registry_place"]
    assert await fleet.servers_of("small", 30) == {"blue"}

    waited = await command.run(
        "wait", "--status-url", fleet.control_plane.status_url, "--timeout", "10s"
    )
    assert waited.code == 1
    assert "envoy-1 refuses " in waited.stderr
    assert "envoy-2 is not given " in waited.stderr

    fleet.scene.write(BAD.replace("other: {pool: green}", "other: {pool: blue}"))
    await fleet.until_served_by("other", "blue")
    assert await fleet.servers_of("small") == {"blue"}

    assert await fleet.rejections() == (0 if "control plane" in restarted else told)
    assert await fleet.rejected_updates("envoy-1") == rejected
    assert await fleet.rejected_updates("envoy-2") == 0

    fleet.scene.write(GOOD.replace("small: {pool: blue}", "small: {pool: red}"))
    await fleet.status(converged("envoy-1", "envoy-2"))
    assert await fleet.servers_of("small", 30) == {"red"}
    assert await fleet.rejected_updates("envoy-1") == rejected
    await until_refusals_stored(fleet.scene.state, fleet.scene.registry, set())


async def test_a_repair_while_the_control_plane_is_down_is_taken(fleet):
    await quarantine(fleet)
    rejected = await fleet.rejected_updates("envoy-1")
    await fleet.kill_control_plane()
    fleet.scene.write(GOOD.replace("small: {pool: blue}", "small: {pool: red}"))
    await fleet.serve()

    await fleet.status(converged("envoy-1"))

    assert await fleet.servers_of("small") == {"red"}
    assert await fleet.rejected_updates("envoy-1") == rejected
    await until_refusals_stored(fleet.scene.state, fleet.scene.registry, set())


async def test_what_is_refused_after_a_restart_is_replaced_by_what_envoy_came_back_with(fleet):
    """The new process has told that Envoy nothing, and knows what it holds all the same."""
    await until_stored(fleet.scene.state, fleet.control_plane.revision)
    await fleet.kill_control_plane()
    await fleet.serve()
    await fleet.status(converged("envoy-1"))
    await quarantine(fleet)

    await fleet.kill_envoy("envoy-1")
    await fleet.run_envoy("envoy-1")

    assert await fleet.rejected_updates("envoy-1") == 0
    assert await fleet.servers_of("small") == {"blue"}


async def test_a_broken_file_leaves_the_quarantine_as_it_is(fleet):
    await quarantine(fleet)
    rejected = await fleet.rejected_updates("envoy-1")
    await fleet.kill_control_plane()
    fleet.scene.write(BAD.replace("{pool: green}", "{pool: gone}"))
    await fleet.serve()

    await fleet.status(lambda s: s["registry"]["error"] and has_refused("envoy-1")(s))
    await fleet.run_envoy("envoy-2")

    assert await fleet.servers_of("small", 30) == {"blue"}
    assert await fleet.rejections() == 0
    assert await fleet.rejected_updates("envoy-1") == rejected
    assert await fleet.rejected_updates("envoy-2") == 0


async def test_the_pool_of_a_route_that_is_kept_stays_when_its_time_to_drain_is_over(fleet):
    fleet.scene.write(BAD.replace("version: 1\n", "version: 1\ndrain: 1s\n"))
    status = await fleet.status(has_refused("envoy-1"))
    await fleet.status(lambda s: not s["draining"])
    await until_stored(fleet.scene.state, status["revision"])
    await until_refusals_stored(fleet.scene.state, fleet.scene.registry, REFUSED)

    assert await fleet.servers_of("small") == {"blue"}
    await fleet.kill_control_plane()
    await fleet.serve()
    await fleet.run_envoy("envoy-2")
    assert await fleet.servers_of("small", 30) == {"blue"}
    assert await fleet.rejections() == 0
