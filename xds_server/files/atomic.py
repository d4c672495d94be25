"""Writing a file so that it is the old one or the whole new one, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

PRIVATE_MODE = 0o600
TEMPORARY_SUFFIX = ".tmp"


def write_atomically(
    path: Path, write: Callable[[BinaryIO], None], mode: int = PRIVATE_MODE
) -> None:
    """Let *write* fill a file, and put it at *path*, which survives a crash of the machine.

    Raises OSError, and leaves what was at *path*. One writer for each path at a time.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            write(file)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in the directory *path* survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
