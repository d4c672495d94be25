"""Simulated model servers for tests: in this process, or as the command that users run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from xds_server.simulate.server import Pace, SimulatedServer, running
from xds_server.simulate.settings import SimulateSettings

START_TIMEOUT_S = 20.0


@asynccontextmanager
async def model_server(  # noqa: PLR0913 - each by name
    name: str = "llama-1b",
    *,
    model: str | None = None,
    adapters: Iterable[str] = (),
    strict_model: bool = False,
    port: int = 0,
    pace: Pace = asyncio.sleep,
    **settings: object,
) -> AsyncIterator[SimulatedServer]:
    """Run one server meanwhile, whose model is *model* or else its name.

    *settings* are those of SimulateSettings, such as `fail_rate=0.5`. Port 0 takes a free one;
    another brings a server back where an earlier one was.
    """
    server = SimulatedServer(
        model=model or name,
        name=name,
        adapters=adapters,
        strict_model=strict_model,
        settings=SimulateSettings().changed(settings),
        pace=pace,
    )
    # Tests that stop a server want it gone, not waiting for its streams.
    async with running(server, port=port, grace_s=0.1):
        yield server


@asynccontextmanager
async def model_servers(*names: str) -> AsyncIterator[dict[str, SimulatedServer]]:
    """Run one server per name meanwhile; gives them by name."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(model_server(name)) for name in names}


@asynccontextmanager
async def server_and_session(
    name: str = "llama-1b-a", **options: Any
) -> AsyncIterator[tuple[SimulatedServer, aiohttp.ClientSession]]:
    """Run one server meanwhile, with *options* of `model_server`, and a client of it."""
    async with (
        model_server(name, **options) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        yield server, session


class Steps:
    """A pace for a server that lets a test release each wait: no word leaves before `release`."""

    def __init__(self) -> None:
        self._permits = asyncio.Semaphore(0)

    async def __call__(self, _seconds: float) -> None:
        await self._permits.acquire()

    def release(self, count: int = 1) -> None:
        """Let the next *count* waits end: the one before an answer, then one per word."""
        for _ in range(count):
            self._permits.release()


@dataclass(frozen=True, slots=True)
class SimulateProcess:
    """The running command `modelyard simulate`."""

    process: asyncio.subprocess.Process
    ready_line: str

    @property
    def url(self) -> str:
        return self.ready_line.rpartition(" ")[2]

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(START_TIMEOUT_S):
            return await self.process.wait()


@asynccontextmanager
async def simulate_process(*arguments: str) -> AsyncIterator[SimulateProcess]:
    """Run `modelyard simulate` with *arguments* on a free port meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "simulate", "--address", "127.0.0.1:0"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode().strip()
        assert line, "modelyard simulate did not start"
        yield SimulateProcess(process, line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
