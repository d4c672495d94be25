"""How much freed memory the process keeps for the next body, instead of returning it at once."""

from __future__ import annotations

import ctypes

_KEPT_BYTES = 32 * 1024 * 1024
"""The largest threshold that the C library takes."""

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Have the C library keep up to 32 MiB that were freed; do nothing where it is not glibc.

    A body of 1 MB is copied, decoded and parsed into a handful of objects of that size, which are
    freed with its answer. By default glibc returns them to the kernel every time, and getting
    them again, page by page, takes twice as long as all the work on them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
