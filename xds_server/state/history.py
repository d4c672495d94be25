"""The last good registries, one file each: `history/<number>-<revision>`.

Their texts are kept without digests of keys. A text comes back whole if the registry file, as it is
then, still holds these; so no key that was taken away comes back by the way.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from xds_server.files.atomic import write_atomically
from xds_server.state.cuts import cut_digests, digests_in, fill, reference_to_digest
from xds_server.state.envelope import DamagedError, Header, read_envelope, write_envelope
from xds_server.state.stored import Kept

KIND = "registry"
FOLDER = "history"
FILE_NAME = re.compile(r"(\d{8,})-([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One registry that was good."""

    number: int
    revision: str
    loaded_at: datetime
    """When it was first served."""
    models: int
    registry: str
    """Path of the file that it was read from."""
    sha256: str
    """Of the text."""
    path: Path
    """Where it is kept."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file of the history that is not what was written."""

    path: Path
    reason: str


class History:
    """The history in the state directory *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def entries(self) -> list[Entry | Damaged]:
        """Return all, oldest first; empty if there is no history."""
        return [self._look(path) for _, path in self._files()]

    def add(self, kept: Kept, limit: int) -> None:
        """Keep the registry of *kept*, and no more than *limit* altogether.

        It takes the place of the last one if only its comments or its secrets differ. Raises
        OSError or CannotHideError.
        """
        files = self._files()
        last = self._look(files[-1][1]) if files else None
        sha256 = hashlib.sha256(kept.text).hexdigest()
        replaces = isinstance(last, Entry) and (
            last.revision == kept.revision or last.sha256 == sha256
        )
        if isinstance(last, Entry) and last.revision == kept.revision and last.sha256 == sha256:
            return
        self._folder.mkdir(mode=0o700, exist_ok=True)
        number = files[-1][0] + 1 if files else 1
        path = self._folder / f"{number:08}-{kept.revision}"
        header, text = _to_store(kept, sha256)
        write_atomically(path, lambda file: write_envelope(file, KIND, header, [text]))
        files.append((number, path))
        unneeded = files[-2:-1] if replaces else []
        unneeded += files[: max(0, len(files) - limit - len(unneeded))]
        for _, old in unneeded:
            old.unlink(missing_ok=True)

    def text_of(self, entry: Entry, current: bytes, keys: Mapping[str, bytes]) -> bytes:
        """Return the text of *entry*; its digests are those that the text *current* holds still.

        *keys* are today's digests by client. Raises DamagedError or KeyError with a client's name.
        """
        header, content = read_envelope(entry.path.read_bytes(), KIND)
        salt = bytes.fromhex(header["salt"])
        values = {reference_to_digest(one, salt): one for one in digests_in(current)}
        for reference, client in header["clients"].items():
            if reference not in values:
                values[reference] = keys[client]
        text = fill(bytes(content), header["holes"], {**_unknown(header), **values})
        if text is None:
            raise DamagedError("its header cannot be read")
        return text

    def _files(self) -> list[tuple[int, Path]]:
        with suppress(FileNotFoundError, NotADirectoryError):
            return sorted(self._numbered())
        return []

    def _numbered(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.iterdir():
            if name := FILE_NAME.fullmatch(path.name):
                yield int(name[1]), path

    def _look(self, path: Path) -> Entry | Damaged:
        try:
            header, _ = read_envelope(path.read_bytes(), KIND)
            return _entry(path, header)
        except OSError as error:
            return Damaged(path, error.strerror or str(error))
        except DamagedError as error:
            return Damaged(path, str(error))
        except (KeyError, TypeError, ValueError):
            return Damaged(path, "its header cannot be read")


def _to_store(kept: Kept, sha256: str) -> tuple[Header, bytes]:
    salt = secrets.token_bytes(16)
    text, holes = cut_digests(kept.text, kept.confidential.digests, salt)
    clients = kept.confidential.inline
    header = {
        "revision": kept.revision,
        "loaded_at": kept.loaded_at.isoformat(),
        "models": kept.models,
        "registry": kept.registry,
        "sha256": sha256,
        "salt": salt.hex(),
        "holes": holes,
        "clients": {reference_to_digest(one, salt): name for name, one in clients.items()},
    }
    return header, text


def _entry(path: Path, header: Header) -> Entry:
    return Entry(
        number=int(path.name.partition("-")[0]),
        revision=str(header["revision"]),
        loaded_at=datetime.fromisoformat(header["loaded_at"]),
        models=int(header["models"]),
        registry=str(header["registry"]),
        sha256=str(header["sha256"]),
        path=path,
    )


def _unknown(header: Header) -> dict[str, bytes]:
    """Return zeros for what only looked like a digest, such as in a comment."""
    clients = header["clients"]
    return {ref: b"0" * 64 for _, ref in header["holes"] if ref not in clients}
