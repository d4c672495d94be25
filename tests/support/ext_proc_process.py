"""`modelyard ext-proc` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import command
from tests.support.command import Ended

READY = "ext-proc ready on "
LOG_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class RunningCompanion:
    """A companion that said that it is ready, and logs JSON."""

    process: asyncio.subprocess.Process
    address: str

    async def logged(self, event: str) -> dict[str, Any]:
        """Return the next log entry about *event*; those before it are passed over."""
        async with asyncio.timeout(LOG_TIMEOUT_S):
            while line := await self.process.stderr.readline():
                entry = json.loads(line)
                if entry["event"] == event:
                    return entry
        raise AssertionError(f"ended without {event}")

    async def web_url(self) -> str:
        """Return where it serves its metrics; to be asked once, before any other log entry."""
        return f"http://{(await self.logged('ext_proc.metrics.ready'))['address']}"

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
    address: str,
    *arguments: object,
    program: Sequence[str] = command.PROGRAM,
    **environment: str,
) -> AsyncIterator[RunningCompanion]:
    """Run the command on *address* until the block ends; its workers then end by themselves."""
    arguments = ("--address", address, "--log-format", "json", *arguments)
    companion = command.ready("ext-proc", *arguments, program=program, **environment)
    async with companion as (process, line):
        assert line.startswith(READY), line
        yield RunningCompanion(process, line.removeprefix(READY).strip())


async def scraped(web_url: str) -> dict[str, float]:
    """Return the metrics at *web_url*, each by its name with its labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{web_url}/metrics") as answer:
        assert answer.status == 200
        lines = (await answer.text()).splitlines()
    values = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in values}
