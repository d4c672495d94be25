"""What changes by a publication, as a log line tells it."""

from __future__ import annotations

from snapshots.diff import diff
from snapshots.snapshot import NO_GATEWAY, Snapshot

LOGGED_NAMES = 10
"""How many names of each kind of change a log line holds."""


def logged_changes(before: Snapshot, after: Snapshot) -> dict[str, list[str]]:
    """Return what was added, changed and removed, each as `Type name`; lists are cut if long."""
    changes: dict[str, dict[str, None]] = {"added": {}, "changed": {}, "removed": {}}
    for group in sorted({*before.nodes, *after.nodes}):
        differences = diff(*(some.nodes.get(group, NO_GATEWAY) for some in (before, after)))
        for type_url, difference in differences.items():
            of_type = type_url.rpartition(".")[2]
            for what, names in changes.items():
                names |= {f"{of_type} {name}": None for name in getattr(difference, what)}
    return {what: cut(list(names)) for what, names in changes.items()}


def cut(names: list[str]) -> list[str]:
    """Return *names* as a log line holds them: those beyond the first few are counted."""
    more = len(names) - LOGGED_NAMES
    return names if more <= 0 else [*names[:LOGGED_NAMES], f"and {more} more"]
