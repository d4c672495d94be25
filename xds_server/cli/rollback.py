"""`modelyard rollback`: write one of the last good registries back to its file."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import click

from snapshots.registry.loader import RegistryError, load_registry
from xds_server.cli.options import option
from xds_server.cli.state import state_dir_option
from xds_server.files.atomic import write_atomically
from xds_server.files.look import read
from xds_server.state.envelope import DamagedError
from xds_server.state.history import Entry, History

NEW_FILE_MODE = 0o644
REPLACED_SUFFIX = ".replaced"


@click.command()
@click.argument("revision")
@state_dir_option(required=True)
@option(
    "--registry",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    show_default=False,
    help="The file to write; by default the one that it was read from.",
)
def command(revision: str, state_dir: Path, registry: Path | None) -> None:
    """Write the registry of REVISION back to its file, from where `modelyard serve` takes it.

    The beginning of a revision is enough, if it is that of one only; `modelyard history` lists
    them. A file that the history does not hold is kept beside it. Exits with 1 if nothing was
    written, and says why.
    """
    history = History(state_dir)
    entry = _find(history, state_dir, revision)
    path = registry or Path(entry.registry)
    current = read(path)
    before = current if isinstance(current, bytes) else b""
    text = _text(history, entry, before, path)
    if text == before:
        click.echo(f"{path} is that of revision {entry.revision} already")
        return
    try:
        _keep_replaced(history, before, path)
        _write(path, text)
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from error
    click.echo(f"{path} is that of revision {entry.revision} again")


def _find(history: History, state_dir: Path, revision: str) -> Entry:
    entries = [entry for entry in history.entries() if isinstance(entry, Entry)]
    found = [entry for entry in entries if entry.revision.startswith(revision)]
    if not found:
        raise click.ClickException(
            f"{state_dir}: no revision in its history begins with {revision!r}; "
            "see `modelyard history`"
        )
    if len({entry.revision for entry in found}) > 1:
        several = ", ".join(entry.revision for entry in found)
        raise click.ClickException(f"{revision!r} is the beginning of {several}")
    return found[-1]


def _text(history: History, entry: Entry, current: bytes, path: Path) -> bytes:
    try:
        text = history.text_of(entry, current, _keys(current, path))
        load_registry(text, str(path))
    except KeyError as error:
        raise click.ClickException(
            f"revision {entry.revision} has a `key_sha256` for the client {error.args[0]!r}, which "
            f"{path} does not hold any more, and the history holds no digests of keys; "
            "add the client to the file, then try again"
        ) from error
    except OSError as error:
        raise click.ClickException(f"{entry.path}: {error.strerror}") from error
    except DamagedError as error:
        raise click.ClickException(f"{entry.path}: damaged, not used: {error}") from error
    except RegistryError as error:
        raise click.ClickException(
            f"revision {entry.revision} is refused by this version:\n{error}"
        ) from error
    return text


def _keys(current: bytes, path: Path) -> Mapping[str, bytes]:
    """Return the digests that *current* holds by client; none if it is refused."""
    try:
        clients = load_registry(current, str(path)).auth.clients or {}
    except RegistryError:
        return {}
    return {name: c.key_sha256.encode() for name, c in clients.items() if c.key_sha256}


def _keep_replaced(history: History, before: bytes, path: Path) -> None:
    """Keep what is about to be replaced, unless the history has it."""
    known = {entry.sha256 for entry in history.entries() if isinstance(entry, Entry)}
    if before and hashlib.sha256(before).hexdigest() not in known:
        replaced = path.with_name(path.name + REPLACED_SUFFIX)
        _write(replaced, before, like=path)
        click.echo(f"what {path} held is in {replaced} now", err=True)


def _write(path: Path, text: bytes, like: Path | None = None) -> None:
    """Put *text* at *path*, or where that leads as a symbolic link; its mode stays."""
    target = Path(os.path.realpath(path))
    try:
        mode = stat.S_IMODE((like or target).stat().st_mode)
    except FileNotFoundError:
        mode = NEW_FILE_MODE
    write_atomically(target, lambda file: _fill(file, text), mode)


def _fill(file: BinaryIO, text: bytes) -> None:
    file.write(text)
