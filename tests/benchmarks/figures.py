"""Figures out of measurements, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that *percent* of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def milliseconds(seconds: float) -> str:
    """Return *seconds* as milliseconds with three significant digits, without their unit."""
    return significant(seconds * 1000)


def significant(value: float) -> str:
    """Return *value* with three significant digits, thousands grouped."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def grouped(number: float) -> str:
    """Return a whole number, thousands grouped."""
    return f"{number:,.0f}"


def percentage(share: float | None) -> str:
    """Return *share* in whole percent; a dash if there is none."""
    return "-" if share is None else f"{share:.0%}"


def thousandths(value: float | None) -> str:
    """Return a thousand times *value* with three places; a dash if there is none."""
    return "-" if value is None else f"{value * 1000:.3f}"


def range_of(low: str, high: str) -> str:
    """Return two figures as one cell."""
    return f"{low} to {high}"


def spread(values: Sequence[float]) -> str:
    """Return the lowest and highest of *values*, relative to their median."""
    centre = median(values)
    return f"{min(values) / centre - 1:+.0%} to {max(values) / centre - 1:+.0%}"
