"""`modelyard ext-proc` as a process of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import command
from tests.support.command import Ended

READY = "ext-proc ready on "


@dataclass(frozen=True, slots=True)
class RunningCompanion:
    """A companion that said that it is ready."""

    process: asyncio.subprocess.Process
    address: str

    async def ended(self) -> Ended:
        """Wait until the process, and every worker that shares its output, has ended."""
        return await command.ended(self.process)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        self.process.send_signal(number)
        return await self.ended()

    def workers(self) -> list[int]:
        """Return the ids of its worker processes."""
        pid = self.process.pid
        return [int(id_) for id_ in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def run(*arguments: object, **environment: str) -> Ended:
    """Run `modelyard ext-proc` where it is expected to end by itself."""
    return await command.run("ext-proc", *arguments, **environment)


@asynccontextmanager
async def companion_process(
    address: str, *arguments: object, **environment: str
) -> AsyncIterator[RunningCompanion]:
    """Run the command on *address* until the block ends; its workers then end by themselves."""
    companion = command.ready("ext-proc", "--address", address, *arguments, **environment)
    async with companion as (process, line):
        assert line.startswith(READY), line
        yield RunningCompanion(process, line.removeprefix(READY).strip())
