"""`modelyard serve` as a process of its own."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import command
from tests.support.command import Ended

READY = re.compile(
    r"modelyard ready: xds (?P<xds>\S+:\d+), status (?P<status>http://\S+:\d+), "
    r"revision (?P<revision>[0-9a-f]+), (?P<models>\d+) models?\n"
)


@dataclass(frozen=True, slots=True)
class Serving:
    """A control plane that said that it is ready."""

    process: asyncio.subprocess.Process
    ready_line: str
    xds_address: str
    status_url: str
    revision: str
    models: int

    async def get(self, path: str) -> Any:
        """Return what the status interface answers: JSON read, metrics as they are."""
        async with aiohttp.ClientSession() as session, session.get(self.status_url + path) as got:
            return await (got.text() if path == "/metrics" else got.json())

    async def until(self, path: str, fits: Callable[[Any], bool], within_s: float = 20) -> Any:
        """Ask until the answer *fits*, and return it."""
        async with asyncio.timeout(within_s):
            while not fits(answer := await self.get(path)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        return answer

    async def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = 15) -> Ended:
        """Send a signal and return how the process ended; what it printed after the ready line."""
        self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            return await command.ended(self.process)


async def run(*arguments: object, **environment: str) -> Ended:
    """Run `modelyard serve` where it is expected to end by itself."""
    return await command.run("serve", *arguments, **environment)


@asynccontextmanager
async def serving(
    registry: Path,
    *arguments: object,
    xds_address: str = "127.0.0.1:0",
    status_address: str = "127.0.0.1:0",
    **how: Any,
) -> AsyncIterator[Serving]:
    """Serve *registry* until the block ends; ports are free ones unless told otherwise.

    *how* goes to `command.ready`: `program`, `launcher`, `log` and the environment.
    """
    addresses = ("--xds-address", xds_address, "--status-address", status_address)
    serve = command.ready("serve", registry, *addresses, *arguments, **how)
    async with serve as (process, line):
        told = READY.fullmatch(line)
        assert told, line
        yield Serving(
            process, line, told["xds"], told["status"], told["revision"], int(told["models"])
        )
