"""The click type of options that take a duration: a function, given as `type=duration`."""

from __future__ import annotations

import re

import click

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Return the seconds in `50ms`, `1.5s`, `5m`, `1h` or a plain `0`; else it is wrong usage."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a duration, like 50ms, 1.5s or 5m")
    return float(found[1]) * _UNIT_S[found[2]]
