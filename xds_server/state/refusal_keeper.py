"""Storing what Envoys refuse, beside the serving of it.

It is written as soon as it is known, and no more than a tenth of the time goes into that. If this
process dies in between, the next one offers once more what was refused in that moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import structlog

from snapshots.material import Source
from xds_server.files.look import ReadProblem
from xds_server.refusals import KeptRefusals, Refusals
from xds_server.state.cuts import Confidential
from xds_server.state.directory import StateDirectory
from xds_server.state.envelope import DamagedError
from xds_server.state.writing import Writing, running

log = structlog.get_logger()

PART = "refusals"
PAUSE_FACTOR = 10
LONGEST_PAUSE_S = 5.0
"""Also between attempts while it cannot be written."""
LOGGED = 10
NOTHING = KeptRefusals()
CONSEQUENCE = (
    "Envoys are served what was accepted before, until the registry has another content there"
)


class RefusalKeeper:
    """Stores *refusals* of the file *registry* in *directory*, which this process holds."""

    def __init__(
        self,
        directory: StateDirectory,
        registry: Path,
        refusals: Refusals,
        writing: Writing,
        confidential: Callable[[], Confidential],
    ) -> None:
        self._directory = directory
        self._registry = registry
        self._refusals = refusals
        self._writing = writing
        self._confidential = confidential
        self._key_sources: tuple[Source, ...] = ()
        """Those that were stored: until the registry has been built, no others are known."""
        self._ending = asyncio.Event()
        self._stored: KeptRefusals | None = NOTHING
        """None: what is stored is not known, as it could not be written or read."""

    async def restore(self, current: bytes | ReadProblem) -> None:
        """Go on with what is stored; say so, or why it cannot be used.

        *current* is what the registry file holds now.
        """
        text = current if isinstance(current, bytes) else b""
        read = self._directory.read_refusals
        try:
            kept, self._key_sources = await asyncio.to_thread(read, self._registry, text)
        except (OSError, DamagedError) as error:
            self._stored = None
            self._refusals.note_change()
            reason = error.strerror if isinstance(error, OSError) else str(error)
            message = f"what Envoys have refused is not known: {reason}"
            log.warning("state.refused", path=str(self._directory.path), error_message=message)
            return
        self._stored = kept
        if kept != NOTHING:
            self._refusals.restore(kept)
            self._tell(kept)

    def _tell(self, kept: KeptRefusals) -> None:
        for content in kept.contents[-LOGGED:]:
            url, name, _ = content.key
            words = list(content.by.values())
            log.warning(
                "state.refusal.restored",
                type_url=url,
                resource=name,
                registry_place=content.place,
                nodes=[each.node_id for each in words[:LOGGED]],
                error_message=words[-1].error_detail if words else "",
                consequence=CONSEQUENCE,
            )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Store whatever changes until the block ends, and then what is not stored yet."""
        return running(self._follow(), self._end)

    def _end(self) -> None:
        self._ending.set()
        self._refusals.changed.ring()

    async def _follow(self) -> None:
        while not self._ending.is_set():
            seen = self._refusals.serial
            started = perf_counter()
            is_stored = await self._store()
            pause = min(LONGEST_PAUSE_S, PAUSE_FACTOR * (perf_counter() - started))
            with suppress(TimeoutError):
                async with asyncio.timeout(pause if is_stored else LONGEST_PAUSE_S):
                    await self._ending.wait()
            while is_stored and seen == self._refusals.serial and not self._ending.is_set():
                await self._refusals.changed.heard()
        await self._store()

    async def _store(self) -> bool:
        """Store what is refused now, unless it is stored; return whether it is."""
        kept = self._refusals.kept()
        if kept == self._stored:
            return True
        confidential = self._confidential()
        if not confidential.key_sources:
            confidential = replace(confidential, key_sources=self._key_sources)

        def write() -> None:
            self._directory.write_refusals(kept, self._registry, confidential)

        is_stored = await self._writing.attempt(PART, write)
        self._stored = kept if is_stored else None
        return is_stored
