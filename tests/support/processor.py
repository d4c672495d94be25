"""How long a process was on a processor, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def cpu_s(pid: int) -> float:
    """Return how long the threads of the process *pid* were on a processor."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
