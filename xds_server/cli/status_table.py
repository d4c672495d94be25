"""What `modelyard status` shows: the answer of `GET /status` as lines for people.

Pure: does not ask, and does not print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import click

from xds_server.cli.draining_lines import draining_lines
from xds_server.cli.refusals import lag_lines, one_line, refusal_of

STATES = {
    "refusing": "red",
    "behind": "yellow",
    "disconnected": "bright_black",
    "converged": "green",
}
"""States in the order in which they want attention, with their colours."""

HEADINGS = ("ENVOY", "STATE", "REVISION", "GATEWAY", "CLUSTER", "VARIANT", "VERSION", "SINCE")
GAP = "  "


def status_lines(status: Any, width: int | None = None) -> list[str]:  # noqa: ANN401 - JSON
    """Return the lines that tell *status*, those of the table cut to *width* columns if given."""
    nodes = sorted(status["nodes"], key=_urgency)
    now = datetime.fromisoformat(status["at"])
    head = [*_head(status, now), *draining_lines(status.get("draining", []), now)]
    return [*head, "", *_nodes(nodes, now, width)] if nodes else head


def _head(status: Any, now: datetime) -> Iterator[str]:  # noqa: ANN401 - JSON
    registry = status["registry"]
    loaded = ago(now, registry["loaded_at"])
    yield f"revision {status['revision']} of {one_line(registry['path'])}, loaded {loaded} ago"
    if registry["error"] is not None:
        yield click.style("refused, and what was good before is served on:", fg="red")
        yield from (f"  {line}" for line in registry["error"].splitlines())
    yield summary(status["nodes"])


def summary(nodes: list[Any]) -> str:
    """Return in one line how the fleet is."""
    if not nodes:
        return "no Envoy has connected since the control plane started"
    tally = Counter(map(state_of, nodes))
    fleet = "1 Envoy" if len(nodes) == 1 else f"{len(nodes)} Envoys"
    if tally["converged"] == len(nodes):
        here = "on this revision" if len(nodes) == 1 else "all on this revision"
        return click.style(f"{fleet}, {here}", fg="green")
    parts = (click.style(f"{tally[s]} {s}", fg=STATES[s]) for s in STATES if tally[s])
    return f"{fleet}: {', '.join(parts)}"


def state_of(node: Any) -> str:  # noqa: ANN401 - JSON
    """Return the state of *node*; a standing refusal counts even if the node has gone."""
    if node["rejected"]:
        return "refusing"
    if not node["connected"]:
        return "disconnected"
    return "converged" if node["converged"] else "behind"


def _urgency(node: Any) -> tuple[int, str]:  # noqa: ANN401 - JSON
    return list(STATES).index(state_of(node)), node["id"]


def _nodes(nodes: list[Any], now: datetime, width: int | None) -> Iterator[str]:
    rows = [_row(node, now) for node in nodes]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    yield _cut(_joined(HEADINGS, widths), width)
    refused = any(node["rejected"] for node in nodes)
    for node, row in zip(nodes, rows, strict=True):
        yield _coloured(_cut(_joined(row, widths), width), state_of(node))
        yield from (f"{GAP}{line}" for line in _details(node, refused_elsewhere=refused))


def _row(node: Any, now: datetime) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    since = node["connected_at"] if node["connected"] else node["disconnected_at"]
    return (
        one_line(node["id"]),
        state_of(node),
        node["revision"] or "-",
        node["gateway"] or "none",
        one_line(node["cluster"]) or "-",
        node["variant"],
        one_line(node["envoy_version"]) or "-",
        ago(now, since),
    )


def _joined(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return GAP.join(padded).rstrip()


def _coloured(line: str, state: str) -> str:
    return line.replace(GAP + state, GAP + click.style(state, fg=STATES[state]), 1)


def _details(node: Any, *, refused_elsewhere: bool) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield why *node* does not run the revision, as far as that is known."""
    if node["rejected"]:
        yield from refusal_of("it refuses", node["rejected"])
    elif node.get("kept_from"):
        yield from refusal_of("it is not given", node["kept_from"])
    elif state_of(node) == "behind":
        yield from lag_lines(node, refused_elsewhere=refused_elsewhere)


def ago(now: datetime, text: str) -> str:
    """Return how long before *now* the time *text* was, in one unit or two."""
    seconds = max(0, int((now - datetime.fromisoformat(text)) / timedelta(seconds=1)))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _cut(line: str, width: int | None) -> str:
    return line if width is None or len(line) <= width else line[: width - 1] + "…"
