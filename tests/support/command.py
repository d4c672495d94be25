"""The command `modelyard` as a process of its own, as an operator starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

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
    *arguments: object,
    program: Sequence[str] = PROGRAM,
    launcher: Sequence[str] = (),
    log: BinaryIO | None = None,
    **environment: str,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run `modelyard` with *arguments* meanwhile; yields it and the line that says it is ready.

    *program* is what Python is told to run, and *launcher* a command that becomes Python in the
    end. Without a *log* for its stderr, that waits to be read, and a process that has much to say
    waits with it.
    """
    how = {"program": program, "launcher": launcher, "log": log}
    async with _process(*arguments, **how, **environment) as process:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = (await process.stdout.readline()).decode()
        if not line:
            raise AssertionError(f"not ready: {await ended(process)}")
        yield process, line


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait until *process*, and whoever shares its output, has ended."""
    async with asyncio.timeout(END_TIMEOUT_S):
        stdout, stderr = await process.communicate()
    return Ended(process.returncode, stdout.decode(), (stderr or b"").decode())


@asynccontextmanager
async def _process(
    *arguments: object,
    program: Sequence[str] = PROGRAM,
    launcher: Sequence[str] = (),
    log: BinaryIO | None = None,
    **environment: str,
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(*launcher, sys.executable, *program),
        *map(str, arguments),
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=log or asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
