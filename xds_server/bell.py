"""Wake everybody who waits, once."""

from __future__ import annotations

import asyncio


class Bell:
    """`ring` wakes all tasks that wait at that moment. For one event loop only."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake every waiter."""
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()

    async def heard(self) -> None:
        """Return at the next `ring`."""
        await self._rung.wait()
