"""`modelyard plan`: tell what an edit would change, before it is made."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import click

from snapshots.material import Mention
from snapshots.registry.loader import load_registry
from snapshots.registry.mentions import mentions
from snapshots.registry.public_form import public_form
from snapshots.registry.schema import Registry
from xds_server.cli.control_plane import (
    DEFAULT_URL,
    StatusAddress,
    ask,
    is_meant,
    served_registry,
    status_address_options,
)
from xds_server.cli.options import option
from xds_server.cli.plan_text import plan_lines
from xds_server.cli.refusals import refused_note
from xds_server.cli.registry_file import read_registry
from xds_server.planning import OTHER_BUILD, Plan, plan

CHANGES = 2
"""The exit code that tells so with `--exit-code`."""
KEYS_NOT_COMPARED = (
    "a control plane does not tell digests of keys: whether a `key_sha256` differs is not known"
)


@click.command()
@click.argument(
    "registries", metavar="[OLD] NEW", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@status_address_options(None)
@option("--exit-code", is_flag=True, help="Exit with 2 if anything changes.")
@option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@click.pass_context
def command(
    context: click.Context,
    registries: tuple[Path, ...],
    status: StatusAddress | None,
    exit_code: bool,
    as_json: bool,
) -> None:
    """Tell what changes from the file OLD to the file NEW.

    With --status-url instead of OLD: from what that control plane serves. Told are the entries that
    differ, the Envoy resources that are sent for it, how many bytes that is for each Envoy, and
    whether a listener changes. Nothing is changed, and contents of secrets are not read.
    """
    *older, newer = registries
    if len(older) > 1 or not (older or status):
        raise click.UsageError(
            f"give two files, OLD and NEW, or one file and --status-url, such as {DEFAULT_URL}"
        )
    new = read_registry(newer)
    if status and is_meant(context, status, bool(older)):
        told = _against(status, new)
    else:
        told = plan(read_registry(older[0]), new)
    if as_json:
        click.echo(json.dumps(_plain(told), ensure_ascii=False))
    else:
        for line in plan_lines(told):
            click.echo(line)
    if exit_code and not told.is_empty:
        context.exit(CHANGES)


def _against(status: StatusAddress, new: Registry) -> Plan:
    """Return the plan from what is served to *new*, both without the digests of keys."""
    revision, old = served_registry(status)
    public = load_registry(json.dumps(public_form(new)).encode(), "NEW")
    told = plan(old, public)
    notes = told.notes
    if any(c.key_sha256 for r in (old, new) for c in (r.auth.clients or {}).values()):
        notes = (*notes, KEYS_NOT_COMPARED)
    elif not _refers_to_secrets(old) and told.revision != revision:
        notes = (*notes, OTHER_BUILD)
    if refused := refused_note(ask(status, "/status")["nodes"]):
        notes = (*notes, refused)
    return replace(told, revision=revision, notes=notes)


def _refers_to_secrets(registry: Registry) -> Mention | None:
    return next(mentions(registry), None)


def _plain(told: Plan) -> dict[str, object]:
    return {"changes": not told.is_empty, **asdict(told)}
