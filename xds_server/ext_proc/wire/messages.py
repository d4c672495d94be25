"""Messages of gRPC out of DATA that is cut anywhere, and the room for long ones."""

from __future__ import annotations

from collections.abc import Callable

from xds_server.ext_proc.wire.budget import Budget, Claim
from xds_server.ext_proc.wire.grpc import PREFIX_BYTES, Reply, Status, prefix, refusal

_FULL = "too many bodies are on their way"
_COMPRESSED = "the message is compressed, which this server does not read: send it as it is"


class MessageRefusedError(Exception):
    """A message that will not be taken; `reply` ends its call."""

    def __init__(self, status: Status, words: str) -> None:
        super().__init__(words)
        self.reply: Reply = refusal(status, words)


class Messages:
    """What has come on one stream and was not handled yet, and its room in the process's *budget*.

    Who forgets it calls `give_back`.
    """

    __slots__ = ("_budget", "_held", "_max_bytes", "_needed", "claim", "received")

    def __init__(self, max_bytes: int, budget: Budget) -> None:
        self._max_bytes = max_bytes
        self._budget = budget
        self._held = 0
        self._needed = 0  # length of the first message with its prefix; 0 until it is known
        self.received = bytearray()
        self.claim: Claim | None = None
        """Room that the first message asked for."""

    def add(self, content: bytes) -> int:
        """Append *content*; return how many bytes the first message lacks, as far as is known.

        Raises MessageRefusedError if it is too long or compressed.
        """
        self.received += content
        if not self._needed:
            self._begin()
        return self._needed - len(self.received)

    @property
    def whole(self) -> bool:
        """Whether the first message is there."""
        return 0 < self._needed <= len(self.received)

    def first(self) -> memoryview:
        """Return the first message without a copy; to be released before `drop_first`."""
        return memoryview(self.received)[PREFIX_BYTES : self._needed]

    def drop_first(self) -> int:
        """Forget the first message; return and raise as `add` does, for the one behind it."""
        self.give_back()
        del self.received[: self._needed]
        self._needed = 0
        return self.add(b"")

    def hold(self, size: int) -> None:
        """Count *size* bytes in all that came, or may come, without a claim.

        Raises MessageRefusedError if that is too much for the process.
        """
        added, self._held = size - self._held, size
        if not self._budget.hold(added):
            raise MessageRefusedError(Status.RESOURCE_EXHAUSTED, _FULL)

    def ask_for(
        self, size: int, on_granted: Callable[[], None], on_stalled: Callable[[], None]
    ) -> None:
        """Claim *size* bytes for the rest of the first message."""
        self.claim = Claim(size, self.received, on_granted, on_stalled)
        self._budget.enter(self.claim)

    def give_back(self) -> None:
        """Give back all room."""
        self._budget.release(self._held)
        self._held = 0
        if self.claim is not None:
            claim, self.claim = self.claim, None
            self._budget.leave(claim)

    def _begin(self) -> None:
        if len(self.received) < PREFIX_BYTES:
            return
        compressed, length = prefix(self.received)
        if compressed:
            raise MessageRefusedError(Status.UNIMPLEMENTED, _COMPRESSED)
        if length > self._max_bytes:
            words = f"a message of {length} bytes; at most {self._max_bytes} are taken"
            raise MessageRefusedError(Status.RESOURCE_EXHAUSTED, words)
        self._needed = PREFIX_BYTES + length
