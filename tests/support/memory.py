"""How much memory a process holds, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

KIB_PER_MIB = 1024


def resident_mib(pid: int) -> float:
    """Return the resident memory of the process *pid* and of its children, in MiB."""
    own = _status(pid, "VmRSS") / KIB_PER_MIB
    return own + sum(resident_mib(child) for child in children(pid))


def highest_mib(pid: int) -> float:
    """Return the most resident memory that the process *pid* ever had, in MiB."""
    return _status(pid, "VmHWM") / KIB_PER_MIB


def children(pid: int) -> list[int]:
    """Return the ids of the processes that *pid* has started from its first thread."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise LookupError(f"{field} of process {pid}")
