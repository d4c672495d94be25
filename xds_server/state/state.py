"""All that a control plane keeps on disk, if it is told to keep anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from typing_extensions import override

from xds_server.files.look import ReadProblem
from xds_server.refusals import Refusals
from xds_server.state.cuts import Confidential
from xds_server.state.directory import StateDirectory
from xds_server.state.keeper import StateKeeper
from xds_server.state.metrics import StateMetrics
from xds_server.state.refusal_keeper import RefusalKeeper
from xds_server.state.stored import Kept, Restored
from xds_server.state.writing import Writing


class NoState:
    """What a control plane keeps that has no state directory: nothing."""

    def keep(self, kept: Kept) -> None:
        """Store nothing."""

    @asynccontextmanager
    async def held(
        self, refusals: Refusals, confidential: Callable[[], Confidential]
    ) -> AsyncIterator[None]:
        """Hold nothing."""
        yield

    async def restore(self, content: bytes | ReadProblem) -> Restored | None:
        """Return None: nothing is stored."""
        return None


class State(NoState):
    """What is kept in the directory *path* of the control plane of the file *registry*."""

    def __init__(
        self, path: Path, history: int, registry: Path, metrics: CollectorRegistry
    ) -> None:
        self._directory = StateDirectory(path)
        self._writing = Writing(path, StateMetrics(metrics))
        self._snapshots = StateKeeper(self._directory, history, self._writing)
        self._registry = registry
        self._refusals: RefusalKeeper | None = None

    @override
    def keep(self, kept: Kept) -> None:
        """Have *kept* stored, soon."""
        self._snapshots.keep(kept)

    @override
    @asynccontextmanager
    async def held(
        self, refusals: Refusals, confidential: Callable[[], Confidential]
    ) -> AsyncIterator[None]:
        """Hold the directory, and store what there is to store, until the block ends.

        Raises CannotUseStateError.
        """
        with self._directory.held():
            self._refusals = RefusalKeeper(
                self._directory, self._registry, refusals, self._writing, confidential
            )
            async with self._snapshots.running(), self._refusals.running():
                yield

    @override
    async def restore(self, content: bytes | ReadProblem) -> Restored | None:
        """Take up what Envoys refused, and return what they were told last, if that is stored.

        *content* is what the registry file holds now.
        """
        if self._refusals:
            await self._refusals.restore(content)
        return await self._snapshots.restore(self._registry, content)
