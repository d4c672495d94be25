"""What becomes of each content of the registry file: a published snapshot, or a refusal.

The last good snapshot stays published whatever comes. Does not read the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import structlog

from snapshots.snapshot import Snapshot
from xds_server.files.look import Glance, ReadProblem, glance_at, read
from xds_server.moments import Moment
from xds_server.reload.metrics import ReloadMetrics
from xds_server.reload.publication import Publication
from xds_server.reload.refused import RefusedError
from xds_server.state.cuts import Confidential
from xds_server.state.directory import absolute
from xds_server.state.stored import Kept, Restored
from xds_server.store import SnapshotStore

if TYPE_CHECKING:
    from snapshots.registry.document import Document
    from xds_server.preflight.check import Preflight
    from xds_server.reload.building import RegistryBuilding

__all__ = ["RefusedError", "RegistryPublisher", "Served"]

log = structlog.get_logger()

RETURN_GRACE_S = 2.0
"""How long Envoys have to come back to what they were told last before they are told another thing.
Envoys wait up to a second before they connect again (`retry_back_off` of the bootstrap)."""


def keep_nothing(_: Kept) -> None:
    """Store nothing."""


@dataclass(frozen=True, slots=True)
class Served:
    """The content that the published snapshot was built from."""

    text: bytes
    models: int
    loaded: Moment


class RegistryPublisher:
    """Turn contents of the file *path*, and keys that it names, into snapshots in *store*."""

    def __init__(
        self,
        path: Path,
        store: SnapshotStore,
        metrics: ReloadMetrics,
        keep: Callable[[Kept], None] = keep_nothing,
    ) -> None:
        self.path = path
        self.served: Served | None = None
        self.error: str | None = None
        """Why the newest content of the file, or of one that it refers to, is not served."""
        self.preflight: Preflight | None = None
        """What every snapshot must pass before it is published, if there is one."""
        self._store = store
        self._metrics = metrics
        self._kept: str | None = None
        """Why some of the secrets that are served are not the newest."""
        self._store_kept = keep
        self._building: RegistryBuilding | None = None
        self._confidential = Confidential()
        self._glances: Mapping[Path, Glance] = {}
        self._resumed_at = 0.0
        self._turn = asyncio.Lock()
        self._newest: bytes | ReadProblem | None = None
        """The last content of the file, be it served or refused."""
        self._document: Document | None = None
        """The content that is served, as soon as somebody asked for a place in it."""
        self.publication = Publication(
            store, metrics, completed=lambda: self._store_current(is_news=False)
        )

    def resume(self, restored: Restored) -> None:
        """Publish what Envoys were told before this process began; for the start."""
        self.served = Served(restored.text, restored.models, Moment.known(restored.loaded_at))
        self._resumed_at = asyncio.get_running_loop().time()
        self.publication.resume(restored.snapshot)
        self._metrics.published(restored.snapshot)

    async def load(self, content: bytes | ReadProblem) -> None:
        """Publish the snapshot of *content*, or raise RefusedError; for the start."""
        async with self._turn:
            await self._load(content)

    async def _load(self, content: bytes | ReadProblem) -> None:
        self._newest = content
        if isinstance(content, ReadProblem):
            raise RefusedError(content.message)
        await self._load_text(content)
        self.error = self._kept
        self._metrics.has_error(self.error is not None)

    async def _load_text(self, content: bytes) -> None:
        if self._building is None:
            self._building = await asyncio.to_thread(self._prepare)
        started = perf_counter()
        try:
            built = await self._building.build(content, self.preflight)
        finally:
            self._glances = self._building.glances
        seconds = perf_counter() - started
        await self._let_envoys_return(built.snapshot)
        models, snapshot = built.models, built.snapshot
        is_same_text = self.served is not None and self.served.text == content
        self.served = Served(content, models, Moment.now())
        self._confidential = built.confidential
        self._document = None
        log.info(
            "registry.loaded",
            path=str(self.path),
            revision=snapshot.revision,
            models=models,
            seconds=round(seconds, 4),
        )
        changed = self.publication.publish(snapshot, built.drain_s)
        if changed or not is_same_text:
            self._store_current(is_news=True)
        self._metrics.loaded(self.served.loaded.at, changed=changed)
        self._tell_of_kept_secrets()

    def _tell_of_kept_secrets(self) -> None:
        problem = self._building and self._building.reader.kept
        kept = str(problem) if problem else None
        if kept and kept != self._kept:
            log.warning("secrets.kept", path=str(self.path), error_message=kept)
        self._kept = kept

    async def offer(self, content: bytes | ReadProblem) -> None:
        """Publish the snapshot of *content*; if it is refused, say so and keep the last one."""
        async with self._turn:
            before = self._glances
            try:
                await self._load(content)
            except RefusedError as error:
                self._refuse(error)
                self._glances = {**before, **self._glances}

    async def refresh(self) -> None:
        """Publish once more, as a file has changed that the registry refers to.

        While the newest content is refused, what it replaces still gets its new secrets.
        """
        async with self._turn:
            newest, served = self._newest, self.served
            if newest is None:
                return
            try:
                await self._load(newest)
            except RefusedError as error:
                self._refuse(error)
                if served and served.text != newest:
                    await self._refresh_served(served.text)

    async def _refresh_served(self, text: bytes) -> None:
        of_newest = self._glances
        try:
            await self._load_text(text)
        except RefusedError as error:
            log.warning("secrets.refused", path=str(self.path), error_message=str(error))
        self._glances = {**of_newest, **self._glances}

    def _refuse(self, error: RefusedError) -> None:
        self.error = str(error)
        self._metrics.refused()
        self._metrics.has_error(True)
        log.warning(
            "registry.refused",
            path=str(self.path),
            error_message=self.error,
            serving_revision=self._store.current and self._store.current.goal.revision,
        )

    def confidential(self) -> Confidential:
        """Return what of the content that is served must not be stored; empty until it is built."""
        return self._confidential

    def files(self) -> Mapping[Path, Glance]:
        """Return the files that the registry refers to, as they were when they were read."""
        return self._glances

    async def has_read_all(self) -> bool:
        """Tell whether what all the files hold now has been dealt with: is served, or refused."""
        content, glances = await asyncio.to_thread(_look, self.path, tuple(self._glances))
        if self._turn.locked():
            return False
        return content == self._newest and glances == dict(self._glances)

    def describe_origin(self, origin: tuple[str, ...]) -> str:
        """Return where *origin* stands, such as `registry.yaml:12:3 (pools.llama-1b)`.

        Empty for a resource that comes from no entry.
        """
        if not origin or not self.served:
            return ""
        if self._document is None:
            from snapshots.registry.document import Document  # noqa: PLC0415 - see `_prepare`

            # Kept, as an Envoy may refuse every resource that there is, each in its turn.
            self._document = Document(self.served.text)
        from snapshots.registry.loader import place_of  # noqa: PLC0415

        line, column = self._document.position(origin)
        return f"{self.path}:{line}:{column} ({place_of(origin)})"

    def give_up_second_step(self) -> None:
        """Give up the second step of the last publication, if it is still to come."""
        self.publication.give_up_second_step()

    def _prepare(self) -> RegistryBuilding:
        # Not imported at the start: it takes longer than to serve what is stored.
        from xds_server.reload.building import RegistryBuilding  # noqa: PLC0415

        return RegistryBuilding(self.path, self._metrics.build_seconds.time)

    async def _let_envoys_return(self, snapshot: Snapshot) -> None:
        """Wait until the Envoys of the last process have connected, if *snapshot* is news to them.

        What an edit replaces is taken away in its turn only from those that are there.
        """
        before = self._store.current
        if before and before.provisional and before.goal.revision != snapshot.revision:
            now = asyncio.get_running_loop().time()
            await asyncio.sleep(self._resumed_at + RETURN_GRACE_S - now)

    def _store_current(self, *, is_news: bool) -> None:
        """Have what is published stored; *is_news*: in the history, too."""
        served, plain = self.served, self.publication.plain
        if served and plain:
            kept = Kept(
                registry=absolute(self.path),
                text=served.text,
                models=served.models,
                loaded_at=served.loaded.at,
                snapshot=plain.snapshot,
                revision=plain.goal.revision,
                confidential=self._confidential,
                is_news=is_news,
            )
            self._store_kept(kept)


def _look(path: Path, others: tuple[Path, ...]) -> tuple[bytes | ReadProblem, dict[Path, Glance]]:
    return read(path), {other: glance_at(other) for other in others}
