"""How many files, and so connections, this process may have open."""

from __future__ import annotations

import resource


def allow_open_files(wanted: int) -> None:
    """Raise the soft limit of open files to *wanted*, as far as the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    allowed = wanted if hard == unlimited else min(wanted, hard)
    if soft not in {unlimited, allowed} and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
