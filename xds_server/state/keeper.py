"""Storing each moment of a control plane, beside the serving of it.

Envoys do not wait for the disk, and an edit does not fail because of it. If this process dies in
between, what is stored is a moment older than what Envoys hold: they are told nothing of it (see
`Published.provisional`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from time import perf_counter

import structlog

from xds_server.files.look import ReadProblem
from xds_server.state.cuts import CannotHideError
from xds_server.state.directory import StateDirectory
from xds_server.state.envelope import DamagedError
from xds_server.state.stored import Kept, Restored, SecretsChangedError
from xds_server.state.writing import RETRY_S, Writing, running

log = structlog.get_logger()

PAUSE_FACTOR = 10
"""After a write there is a pause of so many times what it took: at most a tenth of the time goes
into writing the state of a large registry that is edited all the time."""
LONGEST_PAUSE_S = 30.0
PART = "snapshot"


class StateKeeper:
    """Stores in *directory*, which this process holds; *history* registries at most."""

    def __init__(self, directory: StateDirectory, history: int, writing: Writing) -> None:
        self._directory = directory
        self._limit = history
        self._writing = writing
        self._newest: Kept | None = None
        self._good: deque[Kept] = deque(maxlen=history)
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()

    async def restore(self, registry: Path, current: bytes | ReadProblem) -> Restored | None:
        """Return what Envoys were told last, or None, having said why if something is stored.

        *current* is what the file *registry* holds now.
        """
        started = perf_counter()
        text = current if isinstance(current, bytes) else b""
        try:
            restored = await asyncio.to_thread(self._directory.read, registry, text)
        except (OSError, DamagedError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._refuse(f"the stored snapshot is not used: {reason}")
            return None
        except SecretsChangedError:
            self._refuse("the stored snapshot is not used: a secret of it has changed")
            return None
        if restored:
            log.info(
                "state.restored",
                path=str(self._directory.path),
                revision=restored.snapshot.revision,
                models=restored.models,
                seconds=round(perf_counter() - started, 4),
            )
        return restored

    def _refuse(self, reason: str) -> None:
        log.warning("state.refused", path=str(self._directory.path), error_message=reason)

    def keep(self, kept: Kept) -> None:
        """Have *kept* stored, soon."""
        self._newest = kept
        if kept.is_news:
            self._good.append(kept)
        self._wake.set()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Store until the block ends, and then what is not stored yet."""
        return running(self._run(), self._end)

    def _end(self) -> None:
        self._ending.set()
        self._wake.set()

    async def _run(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._newest else None):
                    await self._wake.wait()
            self._wake.clear()
            started = perf_counter()
            await self._store()
            pause = min(LONGEST_PAUSE_S, PAUSE_FACTOR * (perf_counter() - started))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
        await self._store()

    async def _store(self) -> None:
        newest, self._newest = self._newest, None
        good = list(self._good)
        self._good.clear()
        if newest is None:
            return
        if not await self._writing.attempt(PART, lambda: self._write(newest, good)):
            self._put_back(newest, good)

    def _put_back(self, newest: Kept, good: list[Kept]) -> None:
        """Have stored later what could not be; what has come meanwhile is newer."""
        self._newest = self._newest or newest
        self._good = deque((*good, *self._good), maxlen=self._limit)

    def _write(self, newest: Kept, good: list[Kept]) -> None:
        """Store *newest* and *good*, of which only those are left that could not be stored."""
        try:
            self._directory.write(newest)
        except (OSError, CannotHideError):
            with suppress(OSError):
                self._directory.forget()
            raise
        while good:
            self._directory.history.add(good[0], self._limit)
            del good[0]
