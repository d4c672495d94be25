"""Linux namespaces of their own for a process: it has another file system, or fewer rights.

Needs no root where the system lets users make namespaces, as most do outside of containers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_ENTER = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
_HOLD = "\necho ready\nexec cat"


@dataclass(frozen=True, slots=True)
class Namespace:
    """Namespaces that last as long as the process *pid*."""

    pid: int

    @property
    def launcher(self) -> tuple[str, ...]:
        """What must stand before a command to have it run in there."""
        return (
            "nsenter", f"--target={self.pid}", "--user", "--mount", "--preserve-credentials",
        )  # fmt: skip

    def path(self, path: Path) -> Path:
        """Return where one outside finds what is *path* in there."""
        return Path(f"/proc/{self.pid}/root{path}")


@asynccontextmanager
async def namespace(script: str) -> AsyncIterator[Namespace]:
    """Prepare namespaces with the shell *script* and keep them meanwhile; or skip the test."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *_ENTER, script + _HOLD, stdin=pipe, stdout=pipe, stderr=pipe
    )
    try:
        if await process.stdout.readline() != b"ready\n":
            reason = (await process.stderr.read()).decode().strip()
            pytest.skip(f"this system does not let us prepare namespaces: {reason}")
        yield Namespace(process.pid)
    finally:
        process.stdin.close()  # the end of its input is its end
        await process.wait()
