"""From a content of the registry file to a snapshot, with what it refers to.

Imported when the first content is built, and not before: that takes most of the time in which a
control plane starts, and one that goes on with a stored snapshot does not have to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog

from snapshots.build import SnapshotBuilder
from snapshots.consistency import InconsistentSnapshotError
from snapshots.material import Material
from snapshots.registry.client_keys import digest_keys
from snapshots.registry.loader import RegistryError, load_registry
from snapshots.registry.mentions import mentions
from snapshots.registry.schema import Registry
from snapshots.snapshot import Snapshot
from xds_server.files.look import Glance
from xds_server.garbage import no_search
from xds_server.preflight.check import Preflight
from xds_server.reload.refused import RefusedError
from xds_server.secrets.material import MaterialReader
from xds_server.state.cuts import Confidential

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a content; the registry itself is let go."""

    models: int
    snapshot: Snapshot
    drain_s: float
    """How long what leaves is kept, at most."""
    confidential: Confidential


class RegistryBuilding:
    """Builds contents of the file *path*, one after the other; *timed* measures each."""

    def __init__(
        self, path: Path, timed: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._path = path
        self._timed = timed
        self._builder = SnapshotBuilder()
        self.reader = MaterialReader(path)

    @property
    def glances(self) -> Mapping[Path, Glance]:
        """What was seen of each file that the last content refers to."""
        return self.reader.glances

    async def build(self, content: bytes, preflight: Preflight | None = None) -> Built:
        """Return what *content* asks for, if that passes *preflight*; raises RefusedError."""
        try:
            # In a thread, so that the streams are served while a large registry is built.
            with self._timed():
                built = await asyncio.to_thread(self.build_now, content)
            if preflight:
                await preflight.check(built.snapshot, content, str(self._path))
        except (RegistryError, InconsistentSnapshotError) as error:
            raise RefusedError(str(error)) from error
        except Exception as error:  # a defect of ours must not end what serves the fleet
            log.exception("registry.build.failed", path=str(self._path))
            raise RefusedError(
                f"{self._path}: building failed: {type(error).__name__}: {error}"
            ) from error
        return built

    def build_now(self, content: bytes) -> Built:
        """Return what *content* asks for; raises what says why it is refused."""
        with no_search():
            registry = load_registry(content, str(self._path))
            material = self.reader.read(registry, content)
            snapshot = self._builder.build(registry, material)
            return Built(
                len(registry.models),
                snapshot,
                registry.drain.total_seconds(),
                _confidential(registry, material),
            )


def _confidential(registry: Registry, material: Material) -> Confidential:
    digests, _ = digest_keys(registry, material)
    clients = registry.auth.clients or {}
    inline = {name: c.key_sha256.encode() for name, c in clients.items() if c.key_sha256}
    keys = {m.source for m in mentions(registry) if m.form == "client key"}
    return Confidential(
        contents={source: c.value for source, c in material.items() if source not in keys},
        key_sources=tuple(sorted(keys)),
        digests=frozenset((*(digest.encode() for digest in digests.values()), *inline.values())),
        inline=inline,
    )
