"""Each change of the files that a registry refers to, however they were written.

Does not read them, nor know what becomes of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from xds_server.files.look import Glance, glance_at
from xds_server.files.places import POLL_INTERVAL_S, Notifications, PlacesWatch

SETTLE_S = 0.1
"""How long nothing must change: a certificate and its key are seldom written at once."""

SETTLE_LIMIT_S = 2.0
"""What never settles is passed on all the same after this time."""

Glances = Mapping[Path, Glance]


class SecretWatch:
    """Follow the files of which *seen* tells how they were when they were last read."""

    def __init__(
        self,
        seen: Callable[[], Glances],
        *,
        notifications: Notifications = awatch,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._seen = seen
        self._places = PlacesWatch("secrets", notifications, poll_interval_s)

    def look_again(self) -> None:
        """Look at once: there may be other files than before."""
        self._places.touched.set()

    async def follow(self, accept: Callable[[], Awaitable[None]]) -> None:
        """Await *accept* whenever a file is not as it was when it was read, until cancelled."""
        tried: Glances = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = await self._look(tasks)
                if now not in (self._seen(), tried):
                    tried = await self._settled(tasks, now)
                    await accept()
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._places.poll_interval_s):
                        await self._places.touched.wait()

    async def _settled(self, tasks: asyncio.TaskGroup, now: Glances) -> Glances:
        """Return what is seen of the files once it stays as it is."""
        give_up_at = asyncio.get_running_loop().time() + SETTLE_LIMIT_S
        while asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(SETTLE_S)
            before, now = now, await self._look(tasks)
            if now == before:
                break
        return now

    async def _look(self, tasks: asyncio.TaskGroup) -> Glances:
        """Look at the files with a watch on everything that leads to them."""
        while True:
            self._places.touched.clear()
            glances = await asyncio.to_thread(_glances, tuple(self._seen()))
            places = frozenset(place for glance in glances.values() for place in glance.places)
            if not await self._places.aim(tasks, places):
                return glances


def _glances(paths: tuple[Path, ...]) -> Glances:
    return {path: glance_at(path) for path in paths}
