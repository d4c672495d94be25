"""Each new content of the registry file, however it was written.

Does not know what the bytes mean, nor what becomes of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from watchfiles import awatch

from xds_server.reload.look import Glance, Look, Place, ReadProblem, glance_at, look_at

log = structlog.get_logger()

# At INFO it tells of every event in the directory, ours or not.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

POLL_INTERVAL_S = 1.0
"""How often `stat` is asked where no notification came. Network and some container file systems
never notify, and a watch goes deaf without a word when what it watched is moved away. It misses
two edits of the same length within one tick of the file system's clock, which only notifications
tell apart."""

SETTLE_S = 0.1
"""How long a file that looks half written must stay as it is to be believed."""

SETTLE_LIMIT_S = 1.0
"""A file that never stays as it is for that long is read all the same after this time."""

Notifications = Callable[..., AsyncIterator[Any]]


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
        self._notifications = notifications
        self._poll_interval_s = poll_interval_s
        self._touched = asyncio.Event()
        self._watched: frozenset[Place] = frozenset()
        self._notifier: asyncio.Task[None] | None = None
        self._said_polling = False

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
            self._touched.clear()
            look = await asyncio.to_thread(look_at, self._path)
            if look.glance.places == self._watched:
                return look
            if self._notifier:
                self._notifier.cancel()
            self._watched = look.glance.places
            self._notifier = tasks.create_task(self._notify(self._watched))
            # The task sets the watch up before it first waits. Only then is the file looked at
            # again, so that no change falls between the look and the watch.
            await asyncio.sleep(0)

    async def _notify(self, places: frozenset[Place]) -> None:
        """Set the event at each change in *places*."""
        try:
            async for _ in self._notifications(
                *sorted(place.path for place in places),
                watch_filter=None,  # the default ignores names such as `..data` or `x~`
                recursive=False,
                debounce=50,  # ms at most; the default of 1600 would be felt at every save
                step=5,  # ms without a further event are enough
                ignore_permission_denied=True,  # rather than watch none of the places
            ):
                self._touched.set()
        except FileNotFoundError:
            return  # gone since it was looked at: the poll finds what comes instead
        except (OSError, RuntimeError) as error:  # no inotify, or no instance or watch left
            if not self._said_polling:
                self._said_polling = True
                log.warning(
                    "registry.watch.polling",
                    path=str(self._path),
                    interval_s=self._poll_interval_s,
                    error_message=str(error),
                )

    async def _touch(self, seen: Glance) -> None:
        """Return once a notification came, or `stat` no longer tells what was *seen*."""
        while not self._touched.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval_s):
                    await self._touched.wait()
                    return
            if await asyncio.to_thread(glance_at, self._path) != seen:
                return
