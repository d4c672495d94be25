"""`modelyard history`: list the last good registries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from xds_server.cli.options import option
from xds_server.cli.state import state_dir_option
from xds_server.state.history import Damaged, Entry, History


@click.command()
@state_dir_option(required=True)
@option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(state_dir: Path, as_json: bool) -> None:
    """List the registries that were served last, the newest first.

    Exits with 1 if one of them is damaged, which is said on stderr, or if the directory has no
    history.
    """
    found = History(state_dir).entries()
    entries = [entry for entry in reversed(found) if isinstance(entry, Entry)]
    damaged = [entry for entry in found if isinstance(entry, Damaged)]
    for one in damaged:
        click.echo(f"{one.path}: damaged, not used: {one.reason}", err=True)
    if as_json:
        click.echo(json.dumps([_told(entry) for entry in entries], ensure_ascii=False))
    elif entries:
        for line in _table(entries):
            click.echo(line)
    if not found:
        click.echo(f"{state_dir}: holds no history", err=True)
    if damaged or not found:
        raise click.exceptions.Exit(1)


def _table(entries: Iterable[Entry]) -> Iterable[str]:
    yield f"{'REVISION':16}  {'SERVED SINCE (UTC)':19}  {'MODELS':>6}  REGISTRY"
    for entry in entries:
        at = f"{entry.loaded_at:%Y-%m-%d %H:%M:%S}"
        yield f"{entry.revision:16}  {at:19}  {entry.models:6}  {entry.registry}"


def _told(entry: Entry) -> dict[str, Any]:
    return {
        "revision": entry.revision,
        "loaded_at": entry.loaded_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "models": entry.models,
        "registry": entry.registry,
    }
