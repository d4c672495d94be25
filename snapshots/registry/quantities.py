"""How durations and sizes are written: `1.5s` and `16MiB`, there and back again."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

from snapshots.registry.problems import ValueRefusedError, code

DURATION_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h)$"
SIZE_PATTERN: Final = r"^[0-9]{1,19}(B|kB|KB|MB|GB|KiB|MiB|GiB)$"

MAX_DURATION: Final = timedelta(hours=24)
MAX_SIZE: Final = 2**32 - 1
"""What Envoy's 32 bit fields can hold."""

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,19})(B|kB|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)

_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BYTES: Final = {
    "GiB": 2**30,
    "MiB": 2**20,
    "KiB": 2**10,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "KB": 10**3,
    "B": 1,
}


def parse_duration(text: str) -> timedelta:
    """Return the time that *text* means: a number and `ms`, `s`, `m` or `h`; at most a day.

    Raises `ValueRefusedError`, also for less than whole milliseconds: Envoy would round them, and
    to zero means "for ever".
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueRefusedError(
            f"{code(text)} is not a duration", "write a number and a unit: 250ms, 1.5s, 5m, 1h"
        )
    milliseconds = Decimal(match[1]) * _MILLISECONDS[match[2]]
    if milliseconds != int(milliseconds):
        raise ValueRefusedError(f"{code(text)} is not a whole number of milliseconds")
    if milliseconds > MAX_DURATION / timedelta(milliseconds=1):
        raise ValueRefusedError(f"{code(text)} is longer than a day", "the longest is 24h")
    return timedelta(milliseconds=int(milliseconds))


def format_duration(duration: timedelta) -> str:
    """Return *duration* as `parse_duration` reads it, in the largest unit that fits."""
    milliseconds = duration // timedelta(milliseconds=1)
    if milliseconds % 1000:
        return f"{milliseconds}ms"
    return f"{milliseconds // 1000}s"


def parse_size(text: str) -> int:
    """Return the bytes that *text* means: a whole number and a unit such as `MiB` or `MB`.

    Raises `ValueRefusedError`.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueRefusedError(
            f"{code(text)} is not a size", "write a whole number and a unit: 16MiB, 512KiB, 1GB"
        )
    return int(match[1]) * _BYTES[match[2]]


def check_size(size: int) -> int:
    """Return *size* if it is a usable number of bytes, or raise `ValueRefusedError`."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueRefusedError("a size is from 1B to 4294967295B (just under 4GiB)")
    return size


def format_size(size: int) -> str:
    """Return *size* as `parse_size` reads it, in the largest binary unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
