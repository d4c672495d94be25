"""`modelyard ext-proc` as a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "xds_server", "ext-proc")
READY = "ext-proc ready on "


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and what it printed since it was ready."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class RunningCompanion:
    """A companion that said that it is ready."""

    process: asyncio.subprocess.Process
    address: str

    async def ended(self) -> Ended:
        """Wait until the process, and every worker that shares its output, has ended."""
        async with asyncio.timeout(20):
            stdout, stderr = await self.process.communicate()
        return Ended(self.process.returncode, stdout.decode(), stderr.decode())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        self.process.send_signal(number)
        return await self.ended()

    def workers(self) -> list[int]:
        """Return the ids of its worker processes."""
        pid = self.process.pid
        return [int(id_) for id_ in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def start(*arguments: object, **environment: str) -> asyncio.subprocess.Process:
    """Start `modelyard ext-proc` with *arguments* and return at once."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: object, **environment: str) -> Ended:
    """Run `modelyard ext-proc` where it is expected to end by itself."""
    process = await start(*arguments, **environment)
    try:
        return await RunningCompanion(process, "").ended()
    finally:
        await _kill(process)


@asynccontextmanager
async def companion_process(
    address: str, *arguments: object, **environment: str
) -> AsyncIterator[RunningCompanion]:
    """Run the command on *address* until the block ends."""
    process = await start("--address", address, *arguments, **environment)
    try:
        async with asyncio.timeout(30):
            line = (await process.stdout.readline()).decode()
            if not line.startswith(READY):
                raise AssertionError(f"not ready: {line!r}, {await process.communicate()}")
        yield RunningCompanion(process, line.removeprefix(READY).strip())
    finally:
        await _kill(process)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End *process*; its workers then end by themselves."""
    if process.returncode is None:
        process.kill()
        await process.communicate()
