"""Who may send a long message now: room that all connections of a process share, first come first.

HTTP/2's flow control does the rest: what was not claimed here cannot arrive. The first part of a
message needs no claim; of these parts there may be so much, and no more.
"""

from __future__ import annotations

from collections.abc import Callable


class Claim:
    """Room for the rest of one message: waiting, then granted, then given back."""

    __slots__ = ("granted", "on_granted", "on_stalled", "received", "seen", "size")

    def __init__(
        self,
        size: int,
        received: bytearray,
        on_granted: Callable[[], None],
        on_stalled: Callable[[], None],
    ) -> None:
        self.size = size
        self.received = received
        """What has come of the message; it only grows while the claim lives."""
        self.on_granted = on_granted
        self.on_stalled = on_stalled
        self.granted = False
        self.seen = -1


class Budget:
    """The room of one process, in bytes: *size* to claim, and *most_held* for first parts."""

    def __init__(self, size: int, most_held: int) -> None:
        self.size = size
        self.free = size
        self.held = 0
        """What first parts take."""
        self.refused = 0
        """How often there was no room for one."""
        self._most_held = most_held
        self._waiting: dict[Claim, None] = {}  # a queue that can be left from its middle
        self._granted: set[Claim] = set()

    @property
    def waiting(self) -> int:
        """How many claims wait."""
        return len(self._waiting)

    def hold(self, size: int) -> bool:
        """Take *size* for a first part, or more of one; False if that is more than there is.

        It counts even so, until it is released.
        """
        self.held += size
        if self.held <= self._most_held:
            return True
        self.refused += 1
        return False

    def release(self, size: int) -> None:
        """Take back *size* of first parts."""
        self.held -= size

    def enter(self, claim: Claim) -> None:
        """Grant *claim*, now or as soon as those before it got theirs and there is room."""
        self._waiting[claim] = None
        self._grant()

    def leave(self, claim: Claim) -> None:
        """Take back what *claim* holds, or its place in the queue."""
        if claim.granted:
            claim.granted = False
            self._granted.discard(claim)
            self.free += claim.size
        else:
            self._waiting.pop(claim, None)
        self._grant()

    def end_stalled(self) -> None:
        """End those who hold room that others wait for and sent nothing since the last time."""
        if not self._waiting:
            return
        for claim in tuple(self._granted):
            if claim.seen == len(claim.received):
                claim.on_stalled()
            claim.seen = len(claim.received)

    def _grant(self) -> None:
        while self._waiting:
            claim = next(iter(self._waiting))
            if claim.size > self.free:
                return
            del self._waiting[claim]
            self.free -= claim.size
            claim.granted = True
            claim.seen = -1
            self._granted.add(claim)
            claim.on_granted()
