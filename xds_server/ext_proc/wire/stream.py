"""What is known of one open stream."""

from __future__ import annotations

from typing import Final

from xds_server.ext_proc.wire.grpc import Call
from xds_server.ext_proc.wire.messages import Messages

INITIAL_WINDOW: Final = 65_536
"""What a client may send on a stream before we know how long its message is."""


class Stream:
    """One call on its way: what came of its next message, and what could not be sent yet."""

    __slots__ = (
        "call",
        "half_closed",
        "id",
        "messages",
        "send_window",
        "started",
        "trailers",
        "unsent",
        "window",
    )

    def __init__(self, id_: int, call: Call, send_window: int, *, half_closed: bool) -> None:
        self.id = id_
        self.call: Call | None = call
        """None once it was answered."""
        self.half_closed = half_closed
        """The client sends nothing more."""
        self.started = False
        """Our headers were sent."""
        self.window = INITIAL_WINDOW
        """What the client may send."""
        self.send_window = send_window
        """What we may send."""
        self.messages: Messages | None = None
        """What came and is not handled yet; None where nothing is left over, as nearly always."""
        self.unsent: bytearray | None = None
        self.trailers: bytes | None = None
        """To be sent behind `unsent`."""
