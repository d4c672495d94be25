"""The state directory: who may use it, and the files in it.

| file | holds |
|---|---|
| `lock` | which process uses it; locked as long as that runs |
| `snapshot` | what Envoys were told last |
| `refusals` | what Envoys have refused, and what is served in place of it |
| `history/` | the last good registries |

Nothing here is needed to serve: whatever is missing or damaged is built from the registry file.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from snapshots.material import Content, Mention, Source
from xds_server.files.atomic import TEMPORARY_SUFFIX, write_atomically
from xds_server.garbage import no_search
from xds_server.refusals import KeptRefusals
from xds_server.secrets.read import read_sources
from xds_server.state import refused
from xds_server.state.cuts import Confidential, digests_in, reference_to, reference_to_digest
from xds_server.state.envelope import DamagedError, Header, read_envelope, write_envelope
from xds_server.state.history import History
from xds_server.state.stored import KIND, Kept, Restored, Sources, from_store, to_store

SNAPSHOT = "snapshot"
REFUSALS = "refusals"
LOCK = "lock"


class CannotUseStateError(Exception):
    """The state directory cannot be had; the message tells which and why."""


class StateDirectory:
    """The state directory at *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the directory for this process until the block ends; it is made if it is not there.

        Raises CannotUseStateError, also if another process holds it. The system frees it if this
        process dies.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise CannotUseStateError(f"--state-dir {self.path}: {reason}") from error
        try:
            self._lock(descriptor)
            for left_over in self.path.glob(f"**/.*{TEMPORARY_SUFFIX}"):
                left_over.unlink(missing_ok=True)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotUseStateError(
                f"--state-dir {self.path}: another `modelyard serve` uses it; "
                "give each one a directory of its own"
            ) from error

    def write(self, kept: Kept) -> None:
        """Store *kept* in place of what was there; raises OSError or CannotHideError."""
        header, bodies = to_store(kept, secrets.token_bytes(16))
        write_atomically(
            self.path / SNAPSHOT, lambda file: write_envelope(file, KIND, header, bodies)
        )

    def forget(self) -> None:
        """Remove what is stored of the snapshot: it is no longer what Envoys were told last."""
        (self.path / SNAPSHOT).unlink(missing_ok=True)

    def read(self, registry: Path, current: bytes) -> Restored | None:
        """Return what was stored last for the file *registry*, which holds *current* now.

        None if nothing was. Raises OSError, DamagedError or SecretsChangedError.
        """
        found = self._read(SNAPSHOT, KIND, registry)
        if found is None:
            return None
        with no_search():
            return from_store(*found, lambda sources: _reveal(sources, registry, current))

    def write_refusals(
        self, kept: KeptRefusals, registry: Path, confidential: Confidential
    ) -> None:
        """Store *kept*, which Envoys refused of the file *registry*; raises OSError."""
        path, salt = self.path / REFUSALS, secrets.token_bytes(16)
        header, bodies = refused.to_store(kept, absolute(registry), confidential, salt)
        write_atomically(path, lambda file: write_envelope(file, refused.KIND, header, bodies))

    def read_refusals(
        self, registry: Path, current: bytes
    ) -> tuple[KeptRefusals, tuple[Source, ...]]:
        """Return what Envoys refused of the file *registry*, and where its keys were kept.

        The file holds *current* now. Raises OSError or DamagedError.
        """
        found = self._read(REFUSALS, refused.KIND, registry)
        if found is None:
            return KeptRefusals(), ()
        kept = refused.from_store(*found, lambda sources: _reveal(sources, registry, current))
        return kept, refused.key_sources(found[0])

    def _read(self, name: str, kind: str, registry: Path) -> tuple[Header, memoryview] | None:
        try:
            with (self.path / name).open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise DamagedError("it is empty")
                data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except FileNotFoundError:
            return None
        header, content = read_envelope(data, kind)
        if header.get("registry") != absolute(registry):
            raise DamagedError(f"it is that of another registry, {header.get('registry')}")
        return header, content


def absolute(registry: Path) -> str:
    """Return *registry* as the state names it."""
    return str(Path(os.path.abspath(registry)))  # noqa: PTH100 - symbolic links are kept as they are


def _reveal(sources: Sources, registry: Path, current: bytes) -> Mapping[str, bytes]:
    named = (Mention((), source, "text") for source in (*sources.contents, *sources.keys))
    contents = read_sources(named, registry.parent, os.environ).contents
    values: dict[str, bytes] = {}
    for source in sources.contents:
        content = contents.get(source)
        if isinstance(content, Content):
            values[reference_to(source)] = content.value
    digests = set(digests_in(current))
    for source in sources.keys:
        content = contents.get(source)
        if isinstance(content, Content):
            key = content.value.rstrip(b"\r\n")
            digests.add(hashlib.sha256(key).hexdigest().encode())
    values |= {reference_to_digest(one, sources.salt): one for one in digests}
    return values
