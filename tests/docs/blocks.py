"""The fenced code blocks of a Markdown document, and which of them are run.

A block is run unless the line above it, blank lines left out, is `<!-- not run: the reason -->`.
A `text` block below a `bash` block is what the commands print: see `shell`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*) *$")
NOT_RUN = re.compile(r"^<!-- not run: \S.* -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced code block."""

    document: Path
    line: int
    """Of the opening fence, from 1."""
    language: str
    text: str
    is_run: bool

    @property
    def place(self) -> str:
        """Return where it stands, as `docs/page.md:12`."""
        return f"{shown_path(self.document)}:{self.line}"


def shown_path(document: Path) -> str:
    """Return the path of *document* as people write it: from the root of the repository."""
    is_ours = document.is_relative_to(ROOT)
    return str(document.relative_to(ROOT)) if is_ours else document.name


def read_blocks(document: Path) -> Iterator[Block]:
    """Yield the blocks of *document* in order; ValueError if one is not closed."""
    lines = iter(enumerate(document.read_text().splitlines(), start=1))
    above = ""
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            above = line.strip() or above
            continue
        text = _until_closed(lines, opening["indent"])
        if text is None:
            raise ValueError(f"{document}:{number}: the block is not closed")
        yield Block(document, number, opening["language"], text, not NOT_RUN.match(above))
        above = ""


def _until_closed(lines: Iterator[tuple[int, str]], indent: str) -> str | None:
    inside = []
    for _, line in lines:
        if line == f"{indent}```":
            return "".join(f"{one}\n" for one in inside)
        inside.append(line.removeprefix(indent))
    return None
