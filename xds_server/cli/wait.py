"""`modelyard wait`: wait until the fleet runs what the file says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import click

from xds_server.cli.control_plane import (
    DEFAULT_URL,
    NoAnswerError,
    StatusAddress,
    ask,
    status_address_options,
)
from xds_server.cli.durations import duration
from xds_server.cli.options import option
from xds_server.cli.refusals import lag_lines, refusal_lines

SLICE_S = 10.0
"""How long one request waits: what lies between may end those that take longer."""
PAUSE_S = 0.2
"""Between two attempts to reach a control plane that does not answer."""
SAID_AFTER_S = 2.0
"""When it is said that nothing answers: one that starts takes less."""


def _revision(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch("[0-9a-f]{16}", text):
        raise click.BadParameter(f"{text!r} is no revision: 16 digits, 0 to 9 and a to f")
    return text


@click.command()
@status_address_options(DEFAULT_URL)
@option(
    "--revision",
    callback=_revision,
    metavar="R",
    help="What is waited for.  [default: that of the file as it is now]",
)
@option(
    "--nodes",
    type=click.IntRange(0, 999_999),
    metavar="N",
    help="How many Envoys must run it.  [default: all that are connected, and one at least]",
)
@option("--timeout", type=duration, default="30s", help="How long to wait at most.")
def command(status: StatusAddress, revision: str | None, nodes: int | None, timeout: float) -> None:
    """Wait until every connected Envoy runs what the registry file holds now.

    Exits with 0 once each of them has accepted all of it, and with 1 if the file is refused, if an
    Envoy refuses what was made of it, or at the time-out; it then says who, why, and which line of
    the file it comes from.
    """
    started = time.monotonic()
    verdict = _verdict(status, {"revision": revision, "nodes": nodes}, started + timeout)
    if verdict["outcome"] == "converged":
        took = time.monotonic() - started
        click.echo(
            f"revision {verdict['revision']} runs on {_envoys(verdict['converged'])} ({took:.2f} s)"
        )
        for line in _absent(verdict):
            click.echo(line, err=True)
        return
    for line in _why_not(verdict, revision, nodes, timeout):
        click.echo(line, err=True)
    raise click.exceptions.Exit(1)


def _verdict(status: StatusAddress, asked: dict[str, object], deadline: float) -> Any:  # noqa: ANN401 - JSON
    """Return the first verdict that is final, or the last one before *deadline*.

    Says once on stderr if it is nobody who answers that takes the time.
    """
    query = {key: value for key, value in asked.items() if value is not None}
    verdict: Any = None
    say_at = time.monotonic() + SAID_AFTER_S
    while True:
        left = max(0.0, deadline - time.monotonic())
        within = f"{min(left, SLICE_S):.3f}"
        try:
            verdict = ask(status, f"/wait?{urlencode({**query, 'within': within})}")
        except NoAnswerError as error:
            # It may be about to start; one that has told something was there a moment ago.
            if left <= PAUSE_S:
                raise
            if time.monotonic() >= say_at:
                click.echo(f"{error.message}; waiting for it", err=True)
                say_at = deadline
            time.sleep(PAUSE_S)
            continue
        if verdict["outcome"] != "pending" or time.monotonic() >= deadline:
            return verdict


def _why_not(
    verdict: Any,  # noqa: ANN401 - JSON
    revision: str | None,
    nodes: int | None,
    timeout: float,
) -> Iterator[str]:
    if verdict["outcome"] == "pending":
        yield f"not within {timeout:g} s: {_what_is_missing(verdict, revision, nodes)}"
    if verdict["error"] and (revision is None or verdict["outcome"] == "pending"):
        yield "refused, and what was good before is served on:"
        yield from (f"  {line}" for line in verdict["error"].splitlines())
    yield from refusal_lines(verdict["refusing"]["first"])
    yield from _more(verdict["refusing"], "refuse something too")
    yield f"revision {verdict['revision']} runs on {verdict['converged']} of {_connected(verdict)}"
    for node in verdict["behind"]["first"]:
        yield from _how_far(node, refused_elsewhere=verdict["refusing"]["count"] > 0)
    yield from _more(verdict["behind"], "are not there yet")
    yield from _absent(verdict)


def _how_far(node: Any, *, refused_elsewhere: bool) -> Iterator[str]:  # noqa: ANN401 - JSON
    runs = f"runs {node['revision']}" if node["revision"] else "runs no revision that is known"
    yield f"{node['id']} is not there yet, and {runs}"
    yield from (f"  {line}" for line in lag_lines(node, refused_elsewhere=refused_elsewhere))


def _what_is_missing(verdict: Any, revision: str | None, nodes: int | None) -> str:  # noqa: ANN401 - JSON
    if revision is not None and verdict["revision"] != revision:
        return f"the control plane serves revision {verdict['revision']}, not {revision}"
    if revision is None and not verdict["read"]:
        return "the control plane has not dealt with what the file holds"
    if not verdict["connected"]:
        return "no Envoy is connected"
    if nodes is not None and verdict["connected"] < nodes:
        return f"{nodes} Envoys are waited for, and {verdict['connected']} are connected"
    return "not every Envoy has accepted it"


def _absent(verdict: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    gone = verdict["disconnected"]
    if gone["count"]:
        names = ", ".join(node["id"] for node in gone["first"])
        more = gone["count"] - len(gone["first"])
        yield f"not connected, so not waited for: {names}{f' and {more} more' if more else ''}"


def _more(some: Any, what: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    more = some["count"] - len(some["first"])
    if more:
        yield f"{more} more {what}"


def _envoys(count: int) -> str:
    return "1 Envoy" if count == 1 else f"{count} Envoys"


def _connected(verdict: Any) -> str:  # noqa: ANN401 - JSON
    return f"{_envoys(verdict['connected'])} connected"
