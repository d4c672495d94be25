"""What a control plane has to store, without one that runs."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

from xds_server.reload.building import RegistryBuilding
from xds_server.state.directory import SNAPSHOT, StateDirectory, absolute
from xds_server.state.envelope import DamagedError, read_envelope
from xds_server.state.history import History
from xds_server.state.stored import KIND, Kept

LOADED_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
STORED_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.02


def kept(registry: Path, text: bytes | None = None) -> Kept:
    """Return the moment at which *text*, or else what the file holds, is served."""
    content = registry.read_bytes() if text is None else text
    built = RegistryBuilding(registry).build_now(content)
    return Kept(
        registry=absolute(registry),
        text=content,
        models=built.models,
        loaded_at=LOADED_AT,
        snapshot=built.snapshot,
        revision=built.snapshot.revision,
        confidential=built.confidential,
        is_news=True,
    )


def stored_bytes(folder: Path) -> bytes:
    """Return everything in *folder*, names included."""
    found = [
        os.fsencode(path) + (path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    ]
    return b"\0".join(found)


async def until_stored(folder: Path, revision: str) -> None:
    """Wait until the state directory *folder* holds the snapshot *revision*, and its registry."""
    async with asyncio.timeout(STORED_TIMEOUT_S):
        while _stored_revision(folder) != revision or not History(folder).entries():  # noqa: ASYNC110 - files
            await asyncio.sleep(LOOK_AGAIN_S)


def _stored_revision(folder: Path) -> str:
    try:
        header, _ = read_envelope((folder / SNAPSHOT).read_bytes(), KIND)
    except FileNotFoundError:
        return ""
    return header["revision"]


async def until_refusals_stored(folder: Path, registry: Path, names: set[str]) -> None:
    """Wait until the state directory *folder* tells that just what has *names* is refused."""
    directory = StateDirectory(folder)
    async with asyncio.timeout(STORED_TIMEOUT_S):
        while _refused(directory, registry) != names:  # noqa: ASYNC110 - files
            await asyncio.sleep(LOOK_AGAIN_S)


def _refused(directory: StateDirectory, registry: Path) -> set[str] | None:
    try:
        kept, _ = directory.read_refusals(registry, b"")
    except DamagedError:
        return None
    return {name for _, name, _ in kept.quarantined.refused}
