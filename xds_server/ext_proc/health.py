"""What `Health/Check` says, and whether those who ask have heard that it is to end.

Every connection that asks is a peer: an Envoy that sends its requests elsewhere when it hears
NOT_SERVING. What the workers of one companion told stands in their ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from xds_server.ext_proc.ledger import Column, Ledger, Row

ASKED_LATELY_MS = 30_000
"""Who asked before that and has no connection any more is gone."""


class Health:
    """The state of one process; *on_told* is called whenever a peer heard NOT_SERVING."""

    def __init__(self, row: Row, on_told: Callable[[], None] = lambda: None) -> None:
        self.serving = True
        self._row = row
        self._on_told = on_told

    def peer(self) -> Peer:
        """Return the state of a new connection, which has not asked yet."""
        return Peer(self)

    def answered(self, change: int) -> None:
        """Note an answer; *change* is by how many the peers grew who know of nothing."""
        row = self._row
        row[Column.LAST_CHECK_MS] = _now_ms()
        row[Column.PEERS_UNTOLD] += change
        if not self.serving:
            row[Column.NOT_SERVING_TOLD] += 1
            self._on_told()

    def gone(self) -> None:
        """Note that a peer who knew of nothing has left."""
        self._row[Column.PEERS_UNTOLD] -= 1
        if not self.serving:
            self._on_told()


class Peer:
    """One connection that may ask."""

    __slots__ = ("_health", "_untold")

    def __init__(self, health: Health) -> None:
        self._health = health
        self._untold = False

    def is_serving(self) -> bool:
        """Return the answer to a Check."""
        serving = self._health.serving
        change = int(serving) - int(self._untold)
        self._untold = serving
        self._health.answered(change)
        return serving

    def gone(self) -> None:
        """Note that the connection is closed."""
        if self._untold:
            self._untold = False
            self._health.gone()


def is_watched(ledger: Ledger) -> bool:
    """Tell whether anybody asks `Health/Check`."""
    last_ms = ledger.most(Column.LAST_CHECK_MS)
    lately = last_ms > max(0, _now_ms() - ASKED_LATELY_MS)
    return lately or ledger.sum(Column.PEERS_UNTOLD) > 0


def is_told(ledger: Ledger) -> bool:
    """Tell whether all who ask have heard NOT_SERVING."""
    return ledger.sum(Column.NOT_SERVING_TOLD) > 0 and not ledger.sum(Column.PEERS_UNTOLD)


def _now_ms() -> int:
    return monotonic_ns() // 1_000_000
