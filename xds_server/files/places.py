"""Notifications of changes in places that may change themselves.

Does not know what the places hold.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import structlog
from watchfiles import awatch

from xds_server.files.look import Place

log = structlog.get_logger()

# At INFO it tells of every event in the directory, ours or not.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

POLL_INTERVAL_S = 1.0
"""How often `stat` is asked where no notification came. Network and some container file systems
never notify, and a watch goes deaf without a word when what it watched is moved away. It misses
two edits of the same length within one tick of the file system's clock, which only notifications
tell apart."""

NOTIFIED_WITHIN_S = 0.2
"""Longer than `debounce` holds a notification back."""

Notifications = Callable[..., AsyncIterator[Any]]


class PlacesWatch:
    """Set `touched` at each change in some places; *subject* is what log lines call them."""

    def __init__(
        self,
        subject: str,
        notifications: Notifications = awatch,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self.touched = asyncio.Event()
        self.poll_interval_s = poll_interval_s
        self._subject = subject
        self._notifications = notifications
        self._watched: frozenset[Place] = frozenset()
        self._notifier: asyncio.Task[None] | None = None
        self._said_polling = False

    async def aim(self, tasks: asyncio.TaskGroup, places: frozenset[Place]) -> bool:
        """Watch *places* from now on; return whether others were watched until now.

        Then they must be looked at again, so that no change falls between the look and the watch.
        """
        if places == self._watched:
            return False
        if self._notifier:
            self._notifier.cancel()
        self._watched = places
        self._notifier = tasks.create_task(self._notify(places)) if places else None
        # The task sets the watch up before it first waits.
        await asyncio.sleep(0)
        return True

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
                self.touched.set()
        except FileNotFoundError:
            return  # gone since it was looked at: the poll finds what comes instead
        except (OSError, RuntimeError) as error:  # no inotify, or no instance or watch left
            self._say_polling(str(error))

    async def missed(self) -> None:
        """Say, once, that there was a change which no notification tells of.

        One may be on its way: a notification comes after the change that a poll may see at once.
        """
        if self._said_polling:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTIFIED_WITHIN_S):
                await self.touched.wait()
                return
        self._say_polling("a change was seen that no notification told of")

    def _say_polling(self, reason: str) -> None:
        if not self._said_polling:
            self._said_polling = True
            log.warning(
                "registry.watch.polling",
                path=self._subject,
                interval_s=self.poll_interval_s,
                error_message=reason,
            )
