"""How many log lines of one kind may be written: clients decide how many requests are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

LINES_PER_S = 10


@dataclass(slots=True)
class _Second:
    began: float
    written: int = 0
    left_out: int = 0


class LineBudget:
    """Allows `LINES_PER_S` lines of each kind in a second, and counts those it does not.

    A kind is one of a fixed few, never something a client sent.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kinds: dict[str, _Second] = {}

    def take(self, kind: str) -> int | None:
        """Return how many lines of *kind* were left out since the last one; None: this one, too."""
        now = self._clock()
        current = self._kinds.get(kind)
        if current is None:
            current = self._kinds[kind] = _Second(now)
        elif now - current.began >= 1:
            current.began, current.written = now, 0
        if current.written == LINES_PER_S:
            current.left_out += 1
            return None
        current.written += 1
        left_out, current.left_out = current.left_out, 0
        return left_out
