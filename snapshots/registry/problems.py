"""What is wrong with a registry file, where, and what would be right.

Does not decide what is wrong: the other modules of this package do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

Path = tuple[str | int, ...]
"""The keys and list indexes that lead to an entry, such as `("models", "auto", "split", "a")`."""

SHOWN_CHARACTERS = 80
"""A longer piece of the file is cut where a message repeats it."""

LISTED_PROBLEMS = 1000
"""More are counted in the text of an error, but not listed."""

COMPARISON_BUDGET = 2_000_000
"""Pairs of characters that one load may compare to find the nearest known names."""


class ValueRefusedError(ValueError):
    """A single value that cannot be used; says why, and what would be right."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem at an entry of the file; its line is not known yet."""

    path: Path
    message: str
    hint: str = ""
    position: tuple[int, int] | None = None
    """Line and column where they are not those of the entry at *path*."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a registry file is refused."""

    source: str
    """The file, as the caller named it."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    place: str
    """The entry, such as `models.auto.split.llama-9b`; empty for the file as a whole."""
    message: str
    hint: str = ""

    @override
    def __str__(self) -> str:
        place = f" {self.place}:" if self.place else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"{self.source}:{self.line}:{self.column}:{place} {self.message}{hint}"


class RegistryError(Exception):
    """A registry file that is refused; `problems` has every reason, in the file's order.

    `str()` gives one line per problem; of a file that is wrong all over, the first thousand.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda p: (p.line, p.column, p.place, p.message))
        )
        lines = [str(problem) for problem in self.problems[:LISTED_PROBLEMS]]
        if unlisted := len(self.problems) - len(lines):
            lines.append(f"{self.problems[0].source}: and {unlisted} more problems")
        super().__init__("\n".join(lines))


def place_of(path: Path) -> str:
    """Return *path* as people read it: `("models", "a", "aliases", 0)` is `models.a.aliases.0`."""
    return ".".join(_step(str(step)) for step in path)


def _step(step: str) -> str:
    return printable(step) if step and step == step.strip() else f'"{printable(step)}"'


def printable(text: str) -> str:
    """Return *text* on one line and not too long, with control characters escaped."""
    if len(text) > SHOWN_CHARACTERS:
        text = text[: SHOWN_CHARACTERS - 1] + "…"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def code(text: str) -> str:
    """Return *text* marked as a piece of the file."""
    return f"`{printable(text)}`"


def quote_it(text: str) -> str:
    """Return the hint for a name that YAML takes for something else."""
    return f'quote it: "{printable(text)}"'


class Suggestions:
    """Find what was probably meant. One load has one, so that a bad file cannot take for ever."""

    def __init__(self) -> None:
        self._budget = COMPARISON_BUDGET

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """Return the name in *known* that is most like *word*, or an empty string."""
        candidates = [name for name in known if abs(len(name) - len(word)) <= 2 + len(word) // 3]
        self._budget -= len(word) * sum(map(len, candidates))
        if self._budget < 0:
            return ""
        folded = {name.casefold(): name for name in candidates}
        matches = difflib.get_close_matches(word.casefold(), folded, n=1)
        return folded[matches[0]] if matches else ""

    def hint(self, word: str, known: Iterable[str], otherwise: str = "") -> str:
        """Return the hint that names what is nearest to *word*, else *otherwise*."""
        name = self.nearest(word, known)
        return f"did you mean {code(name)}?" if name else otherwise
