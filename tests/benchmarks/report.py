"""What a benchmark found, and `docs/benchmarks.md` made of it. Measures nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FIGURE = re.compile(r"[-+]?[\d,.]*%?")

HEAD = """\
# Benchmarks

<!-- Written by `make bench`; edits by hand are overwritten. -->

Every figure is one of a run on one machine. A comparison is between things that were measured in
that run, in turn, so that what else the machine did fell upon all of them alike. p50 and p99 are
the values that 50 % and 99 % of the measurements did not exceed.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one shape."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    """What it shows, where the section has not said it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that was promised, and what came of it."""

    promise: str
    got: str
    met: bool


@dataclass(frozen=True, slots=True)
class Section:
    """The results of one benchmark."""

    title: str
    method: str
    """How it was measured."""
    tables: Sequence[Table]
    targets: Sequence[Target] = ()
    remarks: Sequence[str] = ()
    """What the figures mean, and what they do not."""


@dataclass(frozen=True, slots=True)
class Report:
    """All results of one run."""

    machine: Sequence[tuple[str, str]]
    command: str
    sections: Sequence[Section]
    appendix: str = ""
    """More of the document, in Markdown."""

    def markdown(self) -> str:
        """Return the whole document."""
        parts = [
            HEAD,
            *self._targets(),
            *(markdown(section) for section in self.sections),
            *([self.appendix] if self.appendix else []),
            "## The machine\n",
            table_of(Table(("what", "which"), self.machine)),
            f"Command: `{self.command}`\n",
        ]
        return "\n".join(parts)

    def _targets(self) -> Iterable[str]:
        rows = [
            (target.promise, target.got, "yes" if target.met else "**no**")
            for section in self.sections
            for target in section.targets
        ]
        if rows:
            yield "## Targets\n"
            yield table_of(Table(("target", "measured", "met"), rows))


def markdown(section: Section) -> str:
    """Return one section of the document."""
    parts = [f"## {section.title}\n", f"{section.method}\n"]
    for table in section.tables:
        if table.caption:
            parts.append(f"{table.caption}\n")
        parts.append(table_of(table))
    if section.remarks:
        parts.append("".join(f"- {remark}\n" for remark in section.remarks))
    return "\n".join(parts)


def table_of(table: Table) -> str:
    """Return *table* in Markdown, its columns aligned for those who read the source."""
    columns = [
        [_cell(cell) for cell in column] for column in zip(table.header, *table.rows, strict=True)
    ]
    lines = zip(*map(_aligned, columns), strict=True)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _aligned(column: Sequence[str]) -> list[str]:
    """Return the header, the rule and the cells of *column*: figures to the right, text left."""
    header, *cells = column
    width = max(3, *map(len, column))
    if all(map(FIGURE.fullmatch, cells)):
        return [
            header.rjust(width),
            f"{'-' * (width - 1)}:",
            *(cell.rjust(width) for cell in cells),
        ]
    return [header.ljust(width), "-" * width, *(cell.ljust(width) for cell in cells)]
