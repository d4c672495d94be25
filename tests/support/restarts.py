"""`modelyard serve --state-dir` and real Envoys, each of which a test may kill and start again."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.support.command import PROGRAM
from tests.support.model_server import model_servers
from tests.support.serve_process import Serving, serving
from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.demo.envoy import Envoy, running_envoy
from xds_server.demo.stack import LOOPBACK, free_address
from xds_server.simulate.server import SimulatedServer


@dataclass(frozen=True, slots=True)
class Scene:
    """A registry with Envoys that are told of it by a process which the test starts."""

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

    def serving(self, *arguments, program=PROGRAM):
        return serving(
            self.registry,
            *("--state-dir", self.state, *arguments),
            program=program,
            xds_address=str(self.xds),
        )

    @asynccontextmanager
    async def envoy(self, variant: Variant, node_id: str = "envoy-1") -> AsyncIterator[Envoy]:
        socket = UnixPath(str(self.folder / "ext-proc.sock"))
        bootstrap = Bootstrap(
            node_id=node_id,
            node_cluster="default",
            xds=(self.xds,),
            ext_proc=(socket,),
            admin=Address(LOOPBACK, 0),
            variant=variant,
        )
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        async with running_envoy(render_bootstrap(bootstrap), folder, workers=2) as envoy:
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


@asynccontextmanager
async def restarting(folder: Path, registry: str, *servers: str) -> AsyncIterator[Scene]:
    """Run *servers* meanwhile, and write *registry* with their addresses for `<name>`."""
    async with model_servers(*servers) as running, aiohttp.ClientSession() as session:
        scene = Scene(
            folder, folder / "registry.yaml", free_address(), free_address(), running, session
        )
        scene.write(registry)
        yield scene
