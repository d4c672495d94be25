"""What a peer may make us hold or do, and what happens past that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xds_server.ext_proc.wire.frames import ErrorCode, ViolationError

KIB = 1024
MIB = 1024 * KIB

ENVELOPE_BYTES = 64 * KIB
"""Room for what surrounds a body in its message."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one process, and of each of its connections.

    What is held of messages that are not whole yet is at most `buffered_bytes` and `first_bytes`,
    however many streams there are.
    """

    max_body_bytes: int = 64 * MIB
    buffered_bytes: int = 64 * MIB
    """What may be on its way above the first 64 KiB of each stream; at least one message. More
    waits."""
    first_bytes: int = 128 * MIB
    """What may be on its way of those 64 KiB, of all streams. The call that brings more is refused:
    as many as that many streams hold, Envoy does not wait for."""
    max_connections: int = 1024
    max_streams: int = 1000
    """Open calls of one connection."""
    advertised_streams: int | None = None
    """What the peer is told that `max_streams` is, if not that. It opens a further connection
    where it would need more; those that it opens before it hears of it are served."""
    max_header_bytes: int = 16 * KIB
    idle_frames: int = 10_000
    """Frames that carry nothing (PING, RST_STREAM, empty DATA ...) that may come at once."""
    idle_frames_per_s: int = 1_000

    @property
    def max_message_bytes(self) -> int:
        """The longest message of gRPC that is taken."""
        return self.max_body_bytes + ENVELOPE_BYTES


class Allowance:
    """Frames that carry nothing: a burst of them, and a rate.

    Each call that is answered pays some back, because calls bring such frames with them.
    """

    __slots__ = ("_clock", "_looked_at_s", "_most", "_per_s", "left")

    PER_ANSWER = 8

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._most = limits.idle_frames
        self._per_s = limits.idle_frames_per_s
        self._looked_at_s = clock()
        self.left = self._most

    def spend(self, what: str) -> None:
        """Count one frame, or raise ViolationError if it is one too many."""
        self.left -= 1
        if self.left >= 0:
            return
        now_s = self._clock()  # asked only now: reading it costs as much as the rest
        earned = int((now_s - self._looked_at_s) * self._per_s)
        if earned < 1:
            words = f"too many frames that carry nothing, {what} the last of them"
            raise ViolationError(ErrorCode.ENHANCE_YOUR_CALM, words)
        self._looked_at_s = now_s
        self.left = min(earned, self._most) - 1

    def pay_back(self) -> None:
        """Count one answered call."""
        if self.left < self._most:
            self.left += self.PER_ANSWER
