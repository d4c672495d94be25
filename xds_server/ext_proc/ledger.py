"""Numbers in memory that processes share: a row for each process, which it alone writes.

So any of them can tell the numbers of all without asking the others, and what a process counted
is not lost when it dies.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from enum import IntEnum, auto
from typing import get_args

from snapshots.ir.refusals import RefusalCode

REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)

# Upper bounds, each included; one more bucket takes what is above.
SECONDS = (0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)

Row = memoryview
"""Signed numbers of 64 bits, in the order of Column and then as REFUSALS and the next say."""


class Column(IntEnum):
    """What the first numbers of a row are."""

    PID = 0
    STARTS = auto()
    """Written by the parent, and by nobody else."""
    BEAT = auto()
    """Grows about once a second while the process is alive to what happens."""
    CONNECTIONS_TAKEN = auto()
    """Of those that the parent sent to the process that is there now: so many are its own."""
    REQUESTS = auto()
    SECONDS_SUM_NS = auto()
    BYTES_SUM = auto()
    CONNECTIONS_OPENED = auto()
    CONNECTIONS_CLOSED = auto()
    CONNECTIONS_FAILED = auto()
    STREAMS = auto()
    BUFFERED_BYTES = auto()
    BUFFER_LIMIT_BYTES = auto()
    WAITING_CALLS = auto()
    LAST_CHECK_MS = auto()
    """When `Health/Check` was last asked, on the monotonic clock."""
    PEERS_UNTOLD = auto()
    """Open connections that asked, and were told SERVING last."""
    NOT_SERVING_TOLD = auto()
    """How often the answer was NOT_SERVING."""


REFUSALS = len(Column)
SECONDS_BUCKETS = REFUSALS + len(REFUSAL_CODES)
BYTES_BUCKETS = SECONDS_BUCKETS + len(SECONDS) + 1
WIDTH = BYTES_BUCKETS + len(BYTES) + 1

_NUMBER_BYTES = 8


class Ledger:
    """The rows of *count* processes; made before they are forked."""

    def __init__(self, count: int = 1) -> None:
        memory = mmap.mmap(-1, count * WIDTH * _NUMBER_BYTES)
        numbers = memoryview(memory).cast("q")
        self.rows: Sequence[Row] = [
            numbers[index * WIDTH : (index + 1) * WIDTH] for index in range(count)
        ]

    def sum(self, column: int) -> int:
        """Return the sum of *column* over all rows."""
        return int(sum(row[column] for row in self.rows))

    def most(self, column: int) -> int:
        """Return the largest of *column* over all rows."""
        return int(max(row[column] for row in self.rows))


def forget_the_dead(row: Row) -> None:
    """Take out of *row* what its process held, as that process is gone; what it counted stays."""
    row[Column.CONNECTIONS_CLOSED] = row[Column.CONNECTIONS_OPENED]
    for column in (
        Column.PID,
        Column.CONNECTIONS_TAKEN,
        Column.STREAMS,
        Column.BUFFERED_BYTES,
        Column.WAITING_CALLS,
        Column.PEERS_UNTOLD,
    ):
        row[column] = 0
