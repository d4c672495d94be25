"""When Python looks for reference cycles: not while a registry is built, nor in what never goes.

A search goes through everything that lives, with the interpreter stopped. Reading a large registry
makes so many short-lived objects that it would set off one search after the other: more than half
of the time between a save and its publication, and pauses of all streams. What reading and
building leave behind is freed by its reference counts.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search() -> Iterator[None]:
    """Let no search begin before the block ends."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def spare_what_lives() -> None:
    """Leave out of every later search what lives now: modules, and what was loaded at the start.

    What the start needed for a while goes back to the system, where the C library can do that
    (glibc): it would keep it for later.
    """
    gc.collect()
    gc.freeze()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
