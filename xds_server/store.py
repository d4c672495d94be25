"""The snapshot that is being served, and waiting for a newer one.

Readers wait for newer; nothing queues up: a slow stream skips snapshots.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from snapshots.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot with the serial number under which this process published it."""

    serial: int
    snapshot: Snapshot
    """What Envoys are told now."""
    goal: Snapshot
    """What they will have been told at the end: the same, unless another step is to follow."""
    provisional: bool = False
    """Whether it is what was stored when the last process ended, and not compared with the registry
    file yet. Who holds something else may be ahead of it, and is told nothing until that is so."""


class SnapshotStore:
    """Hold the current snapshot; wake those who wait for the next. For one event loop only."""

    def __init__(self) -> None:
        self.current: Published | None = None
        self._changed = asyncio.Event()

    def publish(
        self, snapshot: Snapshot, goal: Snapshot | None = None, *, provisional: bool = False
    ) -> Published:
        """Make *snapshot* the current one, a step towards *goal* if given; wake every waiter."""
        serial = self.current.serial + 1 if self.current else 1
        self.current = Published(serial, snapshot, goal or snapshot, provisional)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return self.current

    async def newer_than(self, serial: int) -> Published:
        """Return the current snapshot as soon as its serial exceeds *serial*."""
        while self.current is None or self.current.serial <= serial:
            await self._changed.wait()
        return self.current
