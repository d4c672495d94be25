"""How `modelyard status` tells what is draining: what, how much longer at most, and why still."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from xds_server.cli.refusals import one_line

SHOWN = 20
ANYBODY = "*"
LONG_S = 120
"""From there on minutes will do."""

WHY = {
    "in_progress": "",
    "no_reports": "sends no load reports here",
    "disconnected": "is disconnected, and may be at work there",
    "behind": "has not taken the edit",
    "not_counted": "has requests that it does not count, as the pool was changed",
    "reporting": "has yet to say that nothing is in progress",
}
"""Reasons, those first that one wants to know most."""


def draining_lines(draining: list[Any], now: datetime) -> Iterator[str]:
    """Yield the lines that tell what of `GET /status` is *draining* at the time *now*."""
    if not draining:
        return
    many = "1 is" if len(draining) == 1 else f"{len(draining):,} are"
    yield click.style(f"{many} draining, and not to be switched off yet:", fg="yellow")
    for drain in draining[:SHOWN]:
        yield f"  {one_line(_what(drain))}: {_reason(drain)}; gone in {_left(drain, now)} at most"
    if more := draining[SHOWN:]:
        yield f"  and {len(more):,} more"


def _what(drain: Any) -> str:  # noqa: ANN401 - JSON
    what: str = drain["what"]
    return what if drain["gateway"] == ANYBODY else f"{what} (node cluster {drain['gateway']})"


def _left(drain: Any, now: datetime) -> str:  # noqa: ANN401 - JSON
    left = datetime.fromisoformat(drain["until"]) - now
    seconds = max(0, round(left / timedelta(seconds=1)))
    return f"{seconds} s" if seconds < LONG_S else f"{round(seconds / 60)} min"


def _reason(drain: Any) -> str:  # noqa: ANN401 - JSON
    """Return why it is there still: of the first Envoy, and how many others there are."""
    if not drain["waits_for"]:
        return "no Envoy is connected that could tell"
    first = min(drain["waits_for"], key=lambda wait: [*WHY, wait["why"]].index(wait["why"]))
    others = drain["waiting"] - 1
    also = f", and {others:,} more Envoys are waited for" if others > 1 else ""
    also = ", and one more Envoy is waited for" if others == 1 else also
    return f"{one_line(first['node'])} {_why(first)}{also}"


def _why(wait: Any) -> str:  # noqa: ANN401 - JSON
    number = wait["in_progress"]
    if wait["why"] == "in_progress":
        return f"is at work for {number:,} {'request' if number == 1 else 'requests'}"
    return WHY.get(wait["why"], one_line(wait["why"]))
