"""What docs/edge.md says that attacks get to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "edge.md"
ROW = re.compile(r"^\| (?P<attack>[^|]+) \| (?P<http1>[^|]+) \| (?P<http2>[^|]+) \|$", re.MULTILINE)
HEADING = "| attack | over HTTP/1.1 | over HTTP/2 |"


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to an attack, as the page has it; `-`: there is no such thing."""

    http1: str
    http2: str


def told_answers() -> dict[str, Told]:
    """Return the rows of the page's table by attack."""
    _, _, table = PAGE.read_text().partition(HEADING)
    table, _, _ = table.strip().partition("\n\n")
    return {row["attack"]: Told(row["http1"], row["http2"]) for row in ROW.finditer(table)}
