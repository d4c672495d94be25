"""`modelyard status`: show what every Envoy runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any

import click

from xds_server.cli.control_plane import (
    DEFAULT_URL,
    NoAnswerError,
    StatusAddress,
    ask,
    status_address_options,
)
from xds_server.cli.options import option
from xds_server.cli.status_table import status_lines

WATCH_INTERVAL_S = 1.0
CLEAR_AND_HOME = "\x1b[H\x1b[J"


@click.command()
@status_address_options(DEFAULT_URL)
@option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@option("--watch", is_flag=True, help="Go on and show every change, until Ctrl-C.")
def command(status: StatusAddress, as_json: bool, watch: bool) -> None:
    """Show what every Envoy runs, the ones with problems first.

    Exits with 0 if the control plane answers, and with 1 if it does not.
    """
    if watch:
        _watch(status, as_json)
        return
    answer = ask(status, "/status")
    if as_json:
        click.echo(_as_json(answer))
        return
    for line in status_lines(answer, width=_width()):
        _print(line)


def _watch(status: StatusAddress, as_json: bool) -> None:
    """Show the status whenever it has changed; on a terminal, once a second in the same place."""
    in_place = sys.stdout.isatty() and not as_json
    shown: Any = None
    while True:
        try:
            answer = ask(status, "/status")
        except NoAnswerError as error:
            answer = {"error": error.message}
        told = {key: value for key, value in answer.items() if key != "at"}
        if in_place or told != shown:
            shown = told
            _show(answer, as_json=as_json, in_place=in_place)
        time.sleep(WATCH_INTERVAL_S)


def _show(answer: Any, *, as_json: bool, in_place: bool) -> None:  # noqa: ANN401 - JSON
    if as_json:
        click.echo(_as_json(answer))
        return
    if "nodes" in answer:
        lines = status_lines(answer, width=_width())
    else:
        lines = [answer["error"], "Envoys route on with what they have."]
    height = shutil.get_terminal_size().lines - 1
    if in_place and len(lines) > height:
        lines = [*lines[: height - 1], f"... {len(lines) - height + 1} more lines"]
    if in_place:
        click.echo(CLEAR_AND_HOME, nl=False)
    for line in lines:
        _print(line)
    if not in_place:
        click.echo()


def _as_json(answer: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(answer, ensure_ascii=False)


def _width() -> int | None:
    """Return the columns of the terminal; None where lines may be as long as they are."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print(line: str) -> None:
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
