"""A deployment with several control planes, each a process that a test can stop, kill or freeze."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.command import Ended
from tests.support.deployment import Deployment, ServerOptions
from tests.support.ext_proc_process import scraped
from tests.support.part import Part
from tests.support.serve_process import Serving, serving
from xds_server.address import Address
from xds_server.bootstrap import Variant
from xds_server.demo.envoy import running_envoy
from xds_server.demo.stack import free_address

LOOK_AGAIN_S = 0.02
SETTLE_TIMEOUT_S = 60.0
"""Envoy takes 8 s to leave a control plane that is frozen; machines that test may be slow."""
RESPONSES = "modelyard_xds_responses_total"


class Replica:
    """One control plane at fixed addresses, on a copy of the registry of its own."""

    def __init__(self, registry: Path, arguments: Sequence[object] = (), **how: Any) -> None:
        self.registry = registry
        self.log = registry.with_suffix(".log")
        """What it says, in JSON; also that of the processes before, at the same addresses."""
        self.xds_address = free_address()
        self._status_address = free_address()
        self._arguments = ("--log-format", "json", *arguments)
        self._how = how
        self._part: Part[Serving] = Part(self._serving)

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[Serving]:
        with self.log.open("ab") as log:
            async with serving(
                self.registry,
                *self._arguments,
                xds_address=str(self.xds_address),
                status_address=str(self._status_address),
                log=log,
                **self._how,
            ) as running:
                yield running

    def logged(self, *events: str) -> list[dict[str, Any]]:
        """Return what it has said of *events* so far."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        entries = map(json.loads, whole.splitlines())
        return [entry for entry in entries if entry["event"] in events]

    @property
    def revision(self) -> str:
        """The revision that it told of when it started."""
        return self._part.running.revision

    @property
    def process(self) -> asyncio.subprocess.Process:
        return self._part.running.process

    async def start(self) -> None:
        await self._part.start()

    async def stop(self) -> Ended:
        """Tell it to stop, and return how it ended."""
        ended = await self._part.running.stop()
        await self._part.stop()
        return ended

    async def kill(self) -> None:
        """Have it end at once, frozen or not, if it runs."""
        await self._part.stop()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @property
    def status_url(self) -> str:
        return f"http://{self._status_address}"

    async def status(self) -> Any:
        """Return what its `GET /status` answers."""
        url = f"{self.status_url}/status"
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            return await response.json()

    async def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the Envoys that are connected to it, by id."""
        return {node["id"]: node for node in (await self.status())["nodes"] if node["connected"]}

    async def responses(self) -> int:
        """Return how many xDS responses it has sent since it started."""
        metrics = await scraped(self.status_url)
        return int(sum(v for name, v in metrics.items() if name.startswith(RESPONSES)))


class Replicated(Deployment):
    """A deployment whose control planes are *replicas*; `registry` is the text of all of them."""

    def __init__(
        self,
        folder: Path,
        variant: Variant,
        session: aiohttp.ClientSession,
        replicas: Sequence[Replica],
    ) -> None:
        super().__init__(folder, variant, session, ())
        self.replicas = replicas

    @property
    def control_planes(self) -> tuple[Address, ...]:
        return tuple(replica.xds_address for replica in self.replicas)

    def copy_out(self, template: str) -> str:
        """Write *template* to the file of every replica, wait for nothing, and return the text."""
        text = self.fill(template)
        for replica in self.replicas:
            replica.registry.write_text(text)
        return text

    async def used(self, *among: Replica, node: str = "envoy-1") -> Replica:
        """Wait until the Envoy *node* is connected to one of *among* and has what it serves."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while True:
                for replica in among:
                    connected = (await replica.nodes()).get(node)
                    if connected and connected["converged"]:
                        return replica
                await asyncio.sleep(LOOK_AGAIN_S)

    def others(self, than: Replica) -> list[Replica]:
        return [replica for replica in self.replicas if replica is not than]


async def until(holds: Callable[[], Any], within_s: float = SETTLE_TIMEOUT_S) -> None:
    """Wait until awaiting *holds* gives something true."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(LOOK_AGAIN_S)


@asynccontextmanager
async def replicated(  # noqa: PLR0913 - each by name
    template: str,
    servers: ServerOptions,
    folder: Path,
    variant: Variant,
    *,
    replicas: int = 2,
    arguments: Sequence[object] = (),
    **how: Any,
) -> AsyncIterator[Replicated]:
    """Run a deployment as `deployment` does, with so many control planes as processes.

    Each has *arguments*, and is started as *how* tells `command.ready`.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        names = (f"registry-{n}.yaml" for n in range(replicas))
        each = [Replica(folder / name, arguments, **how) for name in names]
        deployed = Replicated(folder, variant, session, each)
        stack.push_async_callback(deployed.stop_servers)
        for name, options in servers.items():
            await deployed.add_server(name, **options)
        deployed.copy_out(template)
        for replica in deployed.replicas:
            stack.push_async_callback(replica.kill)
            await replica.start()
        stack.push_async_callback(deployed.companion.stop)
        await deployed.companion.start()
        deployed.envoy = await stack.enter_async_context(
            running_envoy(deployed.bootstrap(), folder)
        )
        await deployed.used(*deployed.replicas)
        yield deployed
