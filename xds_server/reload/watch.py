"""Each new content of the registry file, however it was written.

Does not know what the bytes mean, nor what becomes of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from watchfiles import awatch

from xds_server.files.look import Glance, Look, ReadProblem, glance_at, look_at
from xds_server.files.places import POLL_INTERVAL_S, Notifications, PlacesWatch

SETTLE_S = 0.1
"""How long a file that looks half written must stay as it is to be believed."""

SETTLE_LIMIT_S = 1.0
"""A file that never stays as it is for that long is read all the same after this time."""


class RegistryWatch:
    """Follow one registry file; *known* is its content that has been used already, if any."""

    def __init__(
        self,
        path: Path,
        known: bytes | None = None,
        *,
        notifications: Notifications = awatch,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._path = path
        self._accepted: bytes | ReadProblem | None = known
        self._places = PlacesWatch(str(path), notifications, poll_interval_s)

    async def follow(self, accept: Callable[[bytes | ReadProblem], Awaitable[None]]) -> None:
        """Await *accept* with every new content, one after the other, until cancelled.

        What happens to the file meanwhile is not queued: the next call gets the newest content.
        The same content twice, or an unchanged problem, is passed on once.
        """
        async with asyncio.TaskGroup() as tasks:
            while True:
                look = await self._settled(tasks)
                if look.content != self._accepted:
                    self._accepted = look.content
                    await accept(look.content)
                await self._touch(look.glance)

    async def _settled(self, tasks: asyncio.TaskGroup) -> Look:
        """Look at the file until what is seen need not be a write in progress."""
        give_up_at = asyncio.get_running_loop().time() + SETTLE_LIMIT_S
        look = await self._look(tasks)
        while self._may_be_half_written(look.content):
            await asyncio.sleep(SETTLE_S)
            before, look = look, await self._look(tasks)
            if look == before or asyncio.get_running_loop().time() > give_up_at:
                break
        return look

    def _may_be_half_written(self, content: bytes | ReadProblem) -> bool:
        """Tell whether *content* may be the head of a file that is being written in place.

        The head of a registry can be a valid registry with fewer models, and publishing it would
        take models away from clients. A head either ends within a line or has fewer lines; so an
        edit of values takes effect at once, and one that deletes lines waits for `SETTLE_S`.
        """
        if isinstance(content, ReadProblem) or not content.endswith(b"\n"):
            return True
        return isinstance(self._accepted, bytes) and (
            content.count(b"\n") < self._accepted.count(b"\n")
        )

    async def _look(self, tasks: asyncio.TaskGroup) -> Look:
        """Look at the file with a watch on everything that leads to it."""
        while True:
            self._places.touched.clear()
            look = await asyncio.to_thread(look_at, self._path)
            if not await self._places.aim(tasks, look.glance.places):
                return look

    async def _touch(self, seen: Glance) -> None:
        """Return once a notification came, or `stat` no longer tells what was *seen*."""
        while not self._places.touched.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._places.poll_interval_s):
                    await self._places.touched.wait()
                    return
            if await asyncio.to_thread(glance_at, self._path) != seen:
                await self._places.missed()
                return
