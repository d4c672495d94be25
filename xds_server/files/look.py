"""What a file holds at one moment, and what must be watched to see it change.

Does not wait: see `xds_server.files.places`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_SYMLINKS = 40
"""As many as Linux itself follows (path_resolution(7))."""


READ_LIMIT_BYTES = 64 * 1024 * 1024
"""More is not read: above every size that the loader accepts."""


@dataclass(frozen=True, slots=True)
class ReadProblem:
    """Why a file cannot be read at the moment, in one line."""

    message: str


@dataclass(frozen=True, slots=True)
class Place:
    """A directory or file to watch; it is another place once its name leads to another inode."""

    path: str
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Glance:
    """All that `stat` tells; equal glances mean, by all appearances, equal content."""

    places: frozenset[Place]
    signature: tuple[int, ...]
    """Device, inode, size, mtime and ctime of the file; empty if there is none. The ctime sees
    what a preserved mtime hides (`cp -p`, `rsync -t`)."""


@dataclass(frozen=True, slots=True)
class Look:
    """A glance together with the content."""

    glance: Glance
    content: bytes | ReadProblem


def glance_at(path: Path) -> Glance:
    """Return what `stat` tells about *path* and about what it depends on."""
    try:
        signature = _signature(path.stat())
    except OSError:
        signature = ()
    return Glance(frozenset(_places(path)), signature)


def look_at(path: Path) -> Look:
    """Return what *path* holds; the glance is taken first, so that it is never the newer half."""
    glance = glance_at(path)
    return Look(glance, read(path))


def read(path: Path, limit: int = READ_LIMIT_BYTES, what: str = "registry") -> bytes | ReadProblem:
    """Return the content of the file *path*, a *what* of *limit* bytes at most."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ReadProblem(f"{path} is not a regular file")
            if status.st_size > limit:
                return ReadProblem(f"{path} has {status.st_size:,} bytes: that is no {what}")
            return file.read(limit)
    except FileNotFoundError:
        return ReadProblem(f"{path} does not exist")
    except OSError as error:
        return ReadProblem(f"{path} cannot be read: {error.strerror}")


def _open_without_waiting(name: str, flags: int) -> int:
    # Opening a FIFO would otherwise wait for a writer that may never come.
    return os.open(name, flags | os.O_NONBLOCK)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _places(path: Path) -> Iterator[Place]:
    for candidate in _names(path.absolute()):
        try:
            status = candidate.stat()
        except OSError:
            continue
        yield Place(str(candidate), status.st_dev, status.st_ino)


def _names(path: Path) -> Iterator[Path]:
    """Yield every name whose change can change what *path* leads to.

    - The directory that holds each symbolic link on the way, be it the file or, as in a Kubernetes
      volume (`registry.yaml -> ..data/registry.yaml`, `..data -> ..2024_1`), a directory.
    - The directory that holds the file in the end; where it is missing, the nearest one that is
      there, in which it would be made again.
    - The file itself: written in place through a bind mount of this one file, it tells its own
      inode of the change but not the directory in which the mount shows it.
    """
    for _ in range(MAX_SYMLINKS):
        on_the_way = ((p, _target(p)) for p in (*reversed(path.parents), path))
        link, target = next((found for found in on_the_way if found[1]), (None, None))
        if not link or not target:
            break
        yield link.parent
        path = link.parent / target / path.relative_to(link)
    yield next(p for p in path.parents if _is_directory(p) or p == p.parent)
    yield path


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:  # no link, nothing there, or not for us to see
        return None


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False
