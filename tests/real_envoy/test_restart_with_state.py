"""`modelyard serve --state-dir` is killed and started again beside a real Envoy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.support.load import chat_request, continuous_load
from tests.support.model_server import model_servers
from tests.support.serve_process import Serving, serving
from tests.support.state import until_stored
from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.demo.envoy import Envoy, running_envoy
from xds_server.demo.stack import LOOPBACK, free_address
from xds_server.simulate.server import SimulatedServer

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


@dataclass(frozen=True, slots=True)
class Scene:
    """A registry with an Envoy that is told of it by a process which the test starts."""

    folder: Path
    registry: Path
    xds: Address
    gateway: Address
    servers: Mapping[str, SimulatedServer]
    session: aiohttp.ClientSession

    def write(self, template: str) -> None:
        for name, server in self.servers.items():
            template = template.replace(f"<{name}>", server.address)
        self.registry.write_text(template.replace("<gateway>", str(self.gateway)))

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def serving(self):
        return serving(self.registry, "--state-dir", self.state, xds_address=str(self.xds))

    @asynccontextmanager
    async def envoy(self, variant: Variant) -> AsyncIterator[Envoy]:
        socket = UnixPath(str(self.folder / "ext-proc.sock"))
        bootstrap = Bootstrap(
            node_id="envoy-1",
            node_cluster="default",
            xds=(self.xds,),
            ext_proc=(socket,),
            admin=Address(LOOPBACK, 0),
            variant=variant,
        )
        async with running_envoy(render_bootstrap(bootstrap), self.folder, workers=2) as envoy:
            yield envoy

    async def converged(self, control_plane: Serving, *, not_at: str = "") -> str:
        """Wait until Envoy has taken all of a revision that is not *not_at*; return that."""
        async with asyncio.timeout(30):
            while True:
                async with self.session.get(control_plane.status_url + "/status") as answer:
                    status = await answer.json()
                nodes = status["nodes"]
                if status["revision"] != not_at and nodes and all(n["converged"] for n in nodes):
                    return status["revision"]
                await asyncio.sleep(0.02)

    async def rebuilt(self, control_plane: Serving) -> None:
        """Wait until the file was built and found to be what is served."""
        async with asyncio.timeout(30):
            while True:
                async with self.session.get(control_plane.status_url + "/metrics") as answer:
                    if 'reloads_total{result="unchanged"} 1' in await answer.text():
                        return
                await asyncio.sleep(0.02)

    async def stats(self, envoy: Envoy, pattern: str) -> dict[str, int]:
        url = f"http://{envoy.admin_address}/stats?format=json&filter={pattern}"
        async with self.session.get(url) as answer:
            stats = (await answer.json(content_type=None))["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


@pytest.fixture
async def scene(tmp_path):
    async with model_servers(*SERVERS) as servers, aiohttp.ClientSession() as session:
        scene = Scene(
            tmp_path,
            tmp_path / "registry.yaml",
            free_address(),
            free_address(),
            servers,
            session,
        )
        scene.write(REGISTRY)
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
