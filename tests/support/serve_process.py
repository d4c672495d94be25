"""`modelyard serve` as a process of its own, as an operator starts it."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(
    r"modelyard ready: xds (?P<xds>\S+:\d+), status (?P<status>http://\S+:\d+), "
    r"revision (?P<revision>[0-9a-f]+), (?P<models>\d+) models?\n"
)
COMMAND = (sys.executable, "-m", "xds_server", "serve")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A control plane that said that it is ready."""

    process: asyncio.subprocess.Process
    ready_line: str
    xds_address: str
    status_url: str
    revision: str
    models: int

    async def stop(self, number: signal.Signals = signal.SIGTERM, within_s: float = 15) -> Ended:
        """Send a signal and return how the process ended; what it printed after the ready line."""
        self.process.send_signal(number)
        async with asyncio.timeout(within_s):
            return await _end(self.process)


async def start(*arguments: object, **environment: str) -> asyncio.subprocess.Process:
    """Start `modelyard serve` with *arguments* and return at once."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: object, **environment: str) -> Ended:
    """Run `modelyard serve` where it is expected to end by itself."""
    process = await start(*arguments, **environment)
    try:
        async with asyncio.timeout(30):
            return await _end(process)
    finally:
        await _kill(process)


@asynccontextmanager
async def serving(
    registry: Path,
    *arguments: object,
    xds_address: str = "127.0.0.1:0",
    status_address: str = "127.0.0.1:0",
    **environment: str,
) -> AsyncIterator[Serving]:
    """Serve *registry* until the block ends; ports are free ones unless told otherwise."""
    addresses = ("--xds-address", xds_address, "--status-address", status_address)
    process = await start(registry, *addresses, *arguments, **environment)
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
            if not (ready := READY.fullmatch(line)):
                raise AssertionError(f"not ready: {line!r}, {await _end(process)}")
        yield Serving(
            process, line, ready["xds"], ready["status"], ready["revision"], int(ready["models"])
        )
    finally:
        await _kill(process)


async def _end(process: asyncio.subprocess.Process) -> Ended:
    stdout, stderr = await process.communicate()
    return Ended(process.returncode, stdout.decode(), stderr.decode())


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.communicate()
