"""Moments that stay as long ago as they are, whatever is done to the wall clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEP = timedelta(seconds=1)
"""Less is the wall clock being kept right, not stepped."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, as the wall clock does; only Linux has it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, by two clocks."""

    at: datetime
    """By the wall clock as it was then; in UTC."""
    passed_s: float
    """By one that nobody sets; from some beginning."""

    @classmethod
    def now(cls) -> Moment:
        """Return this moment."""
        return cls(datetime.now(UTC), time.clock_gettime(_CLOCK))

    @classmethod
    def known(cls, at: datetime) -> Moment:
        """Return a moment of which only the wall clock's time *at* is known, from another process.

        What seems to come happens now: the wall clock has been set back since.
        """
        now = cls.now()
        ago = max(timedelta(0), now.at - at)
        return cls(now.at - ago, now.passed_s - ago.total_seconds())

    def told(self, now: Moment) -> datetime:
        """Return when it was, by the wall clock as it is *now*.

        That is `at` unless the wall clock has been stepped since: what was five minutes ago stays
        so, rather than turn into an hour ago, or into something to come.
        """
        at = now.at - timedelta(seconds=now.passed_s - self.passed_s)
        return self.at if abs(at - self.at) < STEP else at
