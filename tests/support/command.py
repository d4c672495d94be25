"""The command `modelyard` as a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
PROGRAM = ("-m", "xds_server")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended, and what it printed since it was ready."""

    code: int
    stdout: str
    stderr: str


async def run(*arguments: object, **environment: str) -> Ended:
    """Run `modelyard` with *arguments* where it is expected to end by itself."""
    async with _process(*arguments, **environment) as process:
        return await ended(process)


@asynccontextmanager
async def ready(
    *arguments: object, program: Sequence[str] = PROGRAM, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `modelyard` with *arguments* meanwhile; yields it and the line that says it is ready.

    *program* is what Python is told to run.
    """
    async with _process(*arguments, program=program, **environment) as process:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode()
        if not line:
            raise AssertionError(f"not ready: {await ended(process)}")
        yield process, line


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait until *process*, and whoever shares its output, has ended."""
    async with asyncio.timeout(END_TIMEOUT_S):
        stdout, stderr = await process.communicate()
    return Ended(process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def _process(
    *arguments: object, program: Sequence[str] = PROGRAM, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program),
        *map(str, arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
