"""The click type of options that take a size: a function, given as `type=size`."""

from __future__ import annotations

import re

import click

_SIZE = re.compile(r"([0-9]+)(B|KiB|MiB|GiB)?")
_UNIT_BYTES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def size(text: str) -> int:
    """Return the bytes in `65536`, `512KiB`, `64MiB` or `1GiB`; else it is wrong usage."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a size, like 512KiB, 64MiB or 1GiB")
    return int(found[1]) * _UNIT_BYTES[found[2]]
