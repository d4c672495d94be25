"""`modelyard demo` as a process of its own, as a newcomer starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

LIMIT_S = 60.0


@dataclass(slots=True)
class Demo:
    """A demo that runs, or has ended."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    """What it printed so far."""

    async def line_with(self, text: str) -> str:
        """Return the first line that holds *text*, once it is printed."""
        async with asyncio.timeout(LIMIT_S):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip("\n"))
                if text in line:
                    return self.lines[-1]
        raise AssertionError(f"{text!r} was never printed, but {self.lines}")

    async def ended(self) -> tuple[int, str, str]:
        """Return exit code, everything on stdout, and everything on stderr."""
        async with asyncio.timeout(LIMIT_S):
            stdout, stderr = await self.process.communicate()
        self.lines += stdout.decode().splitlines()
        return self.process.returncode, "\n".join(self.lines) + "\n", stderr.decode()

    def children(self) -> list[int]:
        """Return the processes that it has started: its Envoy."""
        return [
            int(stat.parent.name)
            for stat in Path("/proc").glob("[0-9]*/stat")
            if _parent(stat) == self.process.pid
        ]


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended meanwhile
        return None


def is_running(pid: int) -> bool:
    """Tell whether there is a process *pid*."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@asynccontextmanager
async def demo(
    *arguments: str, python: str = sys.executable, environment: Mapping[str, str] = {}
) -> AsyncIterator[Demo]:
    """Run `modelyard demo` with *arguments* meanwhile; it leads a process group of its own."""
    process = await asyncio.create_subprocess_exec(
        python, "-m", "xds_server", "demo", *arguments,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield Demo(process)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # its Envoy too
            await process.communicate()
