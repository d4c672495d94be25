"""How much of the one event loop the streams of a node may take.

Two buckets that fill by themselves. Work that goes beyond the first one waits, so that the others
are served; requests beyond the second one are a flood.
"""

from __future__ import annotations

from collections.abc import Callable

from xds_server.guard.limits import Limit, LimitError, Limits


class Bucket:
    """Holds *size* at most, and fills with *per_s* in each second of *clock*."""

    __slots__ = ("_at", "_clock", "_per_s", "_size", "level")

    def __init__(self, size: float, per_s: float, clock: Callable[[], float]) -> None:
        self._size, self._per_s, self._clock = size, per_s, clock
        self._at = clock()
        self.level = size

    def take(self, amount: float) -> float:
        """Take *amount* out, even if it is not there; return how many seconds it is short of."""
        now = self._clock()
        filled = self.level + (now - self._at) * self._per_s
        self._at = now
        self.level = min(self._size, filled) - amount
        return max(0.0, -self.level / self._per_s)


class Allowance:
    """The two buckets of one node."""

    __slots__ = ("_limits", "_requests", "_work")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._requests = Bucket(limits.requests, limits.requests_per_s, clock)
        self._work = Bucket(limits.work_s, limits.work_share, clock)

    def opened(self) -> float:
        """Record that a stream is opened; return for how long it has to wait."""
        return self._work.take(self._limits.open_work_s)

    def worked(self, seconds: float) -> float:
        """Record that the loop worked so long for the node.

        Return for how many seconds its next request has to wait: 0 as a rule.
        """
        return self._work.take(seconds)

    def asked(self, request_bytes: int) -> None:
        """Record a request that answers nothing. Raises LimitError if there were too many."""
        limits = self._limits
        if self._requests.take(1 + request_bytes // limits.request_unit_bytes):
            raise LimitError(
                Limit.REQUESTS,
                f"a node can send {limits.requests} requests at once that answer nothing, and "
                f"{limits.requests_per_s:g} each second from then on",
            )
