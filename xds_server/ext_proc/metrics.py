"""What the companion counts; no number is kept by anything that a client sent.

Called for every request: so these are plain numbers in the process's row of the ledger, and become
Prometheus' only when they are asked for (`xds_server.ext_proc.exposition`).
"""

from __future__ import annotations

from bisect import bisect_left

from snapshots.ir.refusals import RefusalCode
from xds_server.ext_proc.ledger import (
    BYTES,
    BYTES_BUCKETS,
    REFUSAL_CODES,
    REFUSALS,
    SECONDS,
    SECONDS_BUCKETS,
    Column,
    Ledger,
    Row,
)

_REFUSAL = {code: REFUSALS + index for index, code in enumerate(REFUSAL_CODES)}

# Plain numbers: looking one up in the enumeration costs as much as adding to it.
_REQUESTS = int(Column.REQUESTS)
_SECONDS_SUM_NS = int(Column.SECONDS_SUM_NS)
_BYTES_SUM = int(Column.BYTES_SUM)


class Metrics:
    """The counters of one process, in *row*."""

    def __init__(self, row: Row | None = None) -> None:
        self.row = Ledger().rows[0] if row is None else row

    def extracted(self, body_bytes: int, seconds: float) -> None:
        """Count a body that was read in *seconds*, whatever was found in it."""
        row = self.row
        row[BYTES_BUCKETS + bisect_left(BYTES, body_bytes)] += 1
        row[_BYTES_SUM] += body_bytes
        row[SECONDS_BUCKETS + bisect_left(SECONDS, seconds)] += 1
        row[_SECONDS_SUM_NS] += int(seconds * 1e9)

    def answered(self, refused: RefusalCode | None) -> None:
        """Count a request that was answered, and its refusal if it was refused."""
        self.row[_REQUESTS] += 1
        if refused is not None:
            self.row[_REFUSAL[refused]] += 1

    def connection_opened(self) -> None:
        """Count a connection of a peer."""
        self.row[Column.CONNECTIONS_OPENED] += 1

    def connection_lost(self) -> None:
        """Count a connection that was gone before it was one."""
        self.connection_opened()
        self.connection_closed()

    def connection_closed(self, *, failed: bool = False) -> None:
        """Count its end; *failed*: the peer broke a rule of HTTP/2 or a bound."""
        self.row[Column.CONNECTIONS_CLOSED] += 1
        if failed:
            self.row[Column.CONNECTIONS_FAILED] += 1
