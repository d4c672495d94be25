"""What an edit and a request go through: every part a process of its own, as in production."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from tests.support.ext_proc_process import RunningCompanion, companion_process
from tests.support.fast_upstream import fast_upstream_process
from tests.support.serve_process import Serving, serving
from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.demo.envoy import Envoy, running_envoy
from xds_server.demo.stack import free_address

SETTLE_TIMEOUT_S = 60.0
LOOK_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the control plane's log."""

    at_s: float
    """Unix time."""
    name: str
    fields: dict[str, Any]


@dataclass(slots=True)
class ControlPlane:
    """A control plane on a file, and what it logged."""

    registry: Path
    serving: Serving
    session: aiohttp.ClientSession
    events: list[Event] = field(default_factory=list)

    def save(self, text: str) -> float:
        """Replace the registry file as editors do; return the Unix time just before."""
        started_s = time.time()
        beside = self.registry.with_suffix(".new")
        beside.write_text(text)
        os.replace(beside, self.registry)  # noqa: PTH105 - the same as any editor's rename
        return started_s

    async def status(self) -> dict[str, Any]:
        async with self.session.get(f"{self.serving.status_url}/status") as response:
            return await response.json()

    async def metric(self, name: str) -> float:
        """Return the sum of the metric *name* over its labels."""
        async with self.session.get(f"{self.serving.status_url}/metrics") as response:
            lines = await response.text()
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", lines, re.MULTILINE)
        return sum(map(float, values))

    async def converged(self, *, after: str = "", nodes: int = 1) -> str:
        """Wait until *nodes* nodes run a revision other than *after*; return that revision."""
        status: dict[str, Any] = {}
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while not _is_run(status, after, nodes):
                    await asyncio.sleep(LOOK_AGAIN_S if status else 0)
                    status = await self.status()
        except TimeoutError:
            raise AssertionError(f"not converged: {status}, {self.events[-5:]}") from None
        return status["revision"]

    def happened(self, name: str) -> list[Event]:
        """Return the events called *name*."""
        return [event for event in self.events if event.name == name]

    async def logged(self, name: str, count: int) -> None:
        """Wait until *count* events called *name* have happened."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while len(self.happened(name)) < count:  # noqa: ASYNC110 - events come from a task
                await asyncio.sleep(LOOK_AGAIN_S)

    async def listen_to_log(self) -> None:
        """Collect events until cancelled; unread, they would fill the pipe and stop the process."""
        while line := await self.serving.process.stderr.readline():
            logged = json.loads(line)
            at_s = datetime.fromisoformat(logged.pop("timestamp")).timestamp()
            self.events.append(Event(at_s, logged.pop("event"), logged))


def _is_run(status: dict[str, Any], after: str, nodes: int) -> bool:
    if not status or status["revision"] == after:
        return False
    return sum(node["converged"] for node in status["nodes"]) >= nodes


@asynccontextmanager
async def control_plane(text: str) -> AsyncIterator[ControlPlane]:
    """Run `modelyard serve` on a file that holds *text*, in a folder that holds nothing else."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-bench-")))
        registry = folder / "registry.yaml"
        registry.write_text(text)
        served = await parts.enter_async_context(serving(registry, "--log-format", "json"))
        session = await parts.enter_async_context(aiohttp.ClientSession())
        running = ControlPlane(registry, served, session)
        listening = asyncio.ensure_future(running.listen_to_log())
        try:
            yield running
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Two fast servers, and where Envoy is to take requests for them."""

    gateway: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A control plane, a companion, an Envoy with one worker, and two servers."""

    upstreams: Upstreams
    control_plane: ControlPlane
    companion: RunningCompanion
    envoy: Envoy

    @property
    def gateway(self) -> str:
        return self.upstreams.gateway


@asynccontextmanager
async def running_stack(
    text: Callable[[Upstreams], str],
    variant: Variant = "delta",
    companion_arguments: Sequence[object] = (),
) -> AsyncIterator[Stack]:
    """Run all parts on the registry that *text* gives, until Envoy has taken all of it."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-bench-")))
        a, b = [await parts.enter_async_context(fast_upstream_process(name)) for name in "ab"]
        upstreams = Upstreams(str(free_address()), a, b)
        plane = await parts.enter_async_context(control_plane(text(upstreams)))
        socket = UnixPath(str(folder / "ext-proc.sock"))
        companion = await parts.enter_async_context(
            companion_process(f"unix:{socket.path}", *companion_arguments)
        )
        host, _, port = plane.serving.xds_address.rpartition(":")
        bootstrap = Bootstrap(
            node_id="envoy-1",
            node_cluster="default",
            xds=(Address(host, int(port)),),
            ext_proc=(socket,),
            admin=Address("127.0.0.1", 0),
            variant=variant,
        )
        envoy = await parts.enter_async_context(running_envoy(render_bootstrap(bootstrap), folder))
        await plane.converged()
        yield Stack(upstreams, plane, companion, envoy)
