"""What the two modes of extraction do differently: the one table, for tests and documents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One row; every cell is Markdown."""

    what: str
    ext_proc: str
    native: str


DEEP = Difference(
    "JSON that is nested in more than 500 levels",
    "read to 900 levels at least; `invalid_json` where Python's parser gives up",
    "`invalid_json`",
)
PLACES = Difference(
    "the place in the message of `invalid_json`",
    "line and column",
    "byte, counted from 1",
)
BEYOND = Difference(
    "a body above the companion's `--max-body` (64 MiB), where `max_body` allows it",
    "`on_failure` decides: read natively, or 503 `extraction_unavailable`",
    "read",
)
DIFFERENCES = (DEEP, PLACES, BEYOND)


def as_markdown() -> str:
    """Return the table as documents show it."""
    rows = [("", "`ext_proc`", "`native`"), ("---", "---", "---")]
    rows += [(row.what, row.ext_proc, row.native) for row in DIFFERENCES]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |", 1) for cells in rows)
