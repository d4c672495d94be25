"""The calls of one connection: their streams, their messages, and the room that these may take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from xds_server.ext_proc.wire.budget import Budget
from xds_server.ext_proc.wire.frames import (
    DEFAULT_WINDOW,
    ErrorCode,
    Flag,
    ViolationError,
    rst_stream,
    unpadded,
    window_update,
)
from xds_server.ext_proc.wire.grpc import (
    PREFIX_BYTES,
    Method,
    Reply,
    Service,
    Status,
    prefix,
    refusal,
)
from xds_server.ext_proc.wire.limits import Allowance, Limits
from xds_server.ext_proc.wire.messages import MessageRefusedError, Messages
from xds_server.ext_proc.wire.openings import Openings
from xds_server.ext_proc.wire.sender import Sender
from xds_server.ext_proc.wire.stream import INITIAL_WINDOW, Stream

CONNECTION_WINDOW: Final = 4 * 1024 * 1024
"""Given back as it is used: what is held is bounded by the windows of the streams."""

log = structlog.get_logger()


class Calls:
    """All streams of one connection, from the client's frames to our answers."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        budget: Budget,
        allowance: Allowance,
        wants_write: Callable[[], None],
    ) -> None:
        self._max_message_bytes = limits.max_message_bytes
        self._max_streams = limits.max_streams
        self._budget = budget
        self._allowance = allowance
        self._wants_write = wants_write
        self.sender = Sender()
        self._openings = Openings(service, limits.max_header_bytes)
        self._window = DEFAULT_WINDOW
        self.open: dict[int, Stream] = {}
        self.last_id = 0
        """The highest id that the client used, as far as it was not refused by GOAWAY."""
        self.refusing = False
        """Streams that are new get no answer."""

    def start(self) -> bytes:
        """Return the frame that makes the connection's window as large as we want it."""
        added = CONNECTION_WINDOW - self._window
        self._window = CONNECTION_WINDOW
        return window_update(0, added)

    # Frames of the client ------------------------------------------------------------------------

    def on_headers(self, stream_id: int, block: bytes, *, ended: bool) -> None:
        """Open a stream, or take the trailers of one."""
        method = self._openings.asked_for(block)
        if stream_id <= self.last_id:
            self._on_trailers(stream_id, ended=ended)
        elif not stream_id & 1:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "a stream with an even id")
        elif self.refusing:
            self._allowance.spend("HEADERS")
        else:
            self.last_id = stream_id
            self._open(stream_id, method, half_closed=ended)

    def on_data(self, flags: int, stream_id: int, content: bytes) -> None:
        """Take a part of a message; what a stream gets after its answer is passed over."""
        size = len(content)
        self._window -= size
        if self._window < CONNECTION_WINDOW // 2:
            self._replenish()
        stream = self.open.get(stream_id)
        if stream is None:
            self._on_stray(stream_id, "DATA")
            return
        stream.window -= size
        if stream.window < 0 or stream.half_closed:
            raise _sent_too_much(stream)
        if flags:
            content = self._with_flags(stream, flags, content)
        # One frame with the whole of one message is what nearly always comes.
        if (
            stream.messages is None
            and PREFIX_BYTES <= len(content) <= self._max_message_bytes
            and prefix(content) == (0, len(content) - PREFIX_BYTES)
        ):
            self._on_message(stream, content[PREFIX_BYTES:])
        else:
            self._gather(stream, content)
        if stream.half_closed:
            self._on_half_closed(stream)

    def on_reset(self, stream_id: int) -> None:
        """Take the client's word that it wants no answer any more."""
        stream = self.open.get(stream_id)
        self._on_stray(stream_id, "RST_STREAM")
        if stream is not None:
            self._close(stream)

    def on_window_update(self, stream_id: int, size: int) -> None:
        """Take leave to send more, on a stream or (0) on the connection."""
        stream = self.open.get(stream_id)
        if stream_id:
            self._on_stray(stream_id, "WINDOW_UPDATE")
            if stream is None:
                return
        else:
            self._allowance.spend("WINDOW_UPDATE")
        if not size:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        for ended in self.sender.enlarge(stream, size):
            self._answered(ended)

    def on_initial_window(self, size: int) -> None:
        """Change what may be sent on each stream (RFC 9113 section 6.9.2)."""
        for ended in self.sender.begin_with(size, self.open.values()):
            self._answered(ended)

    def close_all(self) -> None:
        """Forget all streams, as the connection is gone; what they held is free."""
        for stream in tuple(self.open.values()):
            self._close(stream)

    # Streams -------------------------------------------------------------------------------------

    def _open(self, id_: int, method: Method | bytes | None, *, half_closed: bool) -> None:
        if method is None:
            self._reset(id_, ErrorCode.PROTOCOL_ERROR)
        elif isinstance(method, bytes):
            self._allowance.spend("a call of no method")
            self.sender.refuse(id_, method, half_closed=half_closed)
        elif len(self.open) >= self._max_streams:
            self._reset(id_, ErrorCode.REFUSED_STREAM)
        else:
            window = self.sender.initial_window
            stream = self.open[id_] = Stream(id_, method(), window, half_closed=half_closed)
            if half_closed:
                self._on_half_closed(stream)

    def _on_trailers(self, stream_id: int, *, ended: bool) -> None:
        self._on_stray(stream_id, "HEADERS")
        stream = self.open.get(stream_id)
        if stream is None:
            return
        if stream.half_closed or not ended:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "HEADERS in the middle of a stream")
        stream.half_closed = True
        self._on_half_closed(stream)

    def _on_half_closed(self, stream: Stream) -> None:
        if stream.call is not None and stream.messages is not None:
            self._reply(stream, refusal(Status.INTERNAL, "the last message is cut short"))
        elif stream.call is not None:
            self._reply(stream, stream.call.half_closed())

    def _on_stray(self, stream_id: int, what: str) -> None:
        """Count a frame that asks for no answer, unless its stream was never opened."""
        if not stream_id & 1 or (stream_id > self.last_id and not self.refusing):
            words = f"{what} on stream {stream_id}, which was never opened"
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, words)
        self._allowance.spend(what)

    def _with_flags(self, stream: Stream, flags: int, content: bytes) -> bytes:
        if flags & Flag.PADDED:
            padded = len(content)
            content = unpadded(content)
            self._enlarge(stream, padded - len(content))
        if flags & Flag.END_STREAM:
            stream.half_closed = True
        return content

    def _close(self, stream: Stream) -> None:
        del self.open[stream.id]
        stream.call = None
        if stream.messages is not None:
            self._forget_messages(stream, stream.messages)
        if stream.unsent is not None:
            self.sender.forget(stream)

    def _forget_messages(self, stream: Stream, messages: Messages) -> None:
        messages.give_back()
        stream.messages = None

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._allowance.spend("a stream that had to be reset")
        self.sender.out.append(rst_stream(stream_id, code))

    # Messages and answers ------------------------------------------------------------------------

    def _gather(self, stream: Stream, content: bytes) -> None:
        """Add *content* to the message that is coming; more than one may become whole by it."""
        if not content:
            self._allowance.spend("DATA")
            return
        if stream.call is None:
            return
        messages = stream.messages
        if messages is None:
            messages = stream.messages = Messages(self._max_message_bytes, self._budget)
        try:
            missing = messages.add(content)
            while messages.whole:
                with messages.first() as message:
                    self._on_message(stream, message)
                if stream.call is None:
                    return  # what stands behind the last message is nobody's
                missing = messages.drop_first()
            self._make_room(stream, messages, missing - stream.window)
        except MessageRefusedError as error:
            self._reply(stream, error.reply)

    def _on_message(self, stream: Stream, message: bytes | memoryview) -> None:
        call = stream.call
        if call is None:
            return
        try:
            reply = call.message(message)
        except Exception:
            # A mistake of ours in one call is not to end the others.
            log.exception("ext_proc.call.failed", stream_id=stream.id)
            reply = refusal(Status.INTERNAL, "the server made a mistake")
        self._reply(stream, reply)
        if stream.call is not None and stream.window < INITIAL_WINDOW // 2:
            self._enlarge(stream, INITIAL_WINDOW - stream.window)

    def _reply(self, stream: Stream, reply: Reply) -> None:
        if reply.trailers is not None:
            stream.call = None
            if stream.messages is not None:
                self._forget_messages(stream, stream.messages)
        if self.sender.reply(stream, reply):
            self._answered(stream)

    def _answered(self, stream: Stream) -> None:
        self._allowance.pay_back()
        self._close(stream)

    # Flow control --------------------------------------------------------------------------------

    def _make_room(self, stream: Stream, messages: Messages, size: int) -> None:
        """Have the last *size* bytes of a message sent, if any, once there is room for them."""
        held = len(messages.received)
        if not held:
            self._forget_messages(stream, messages)
        elif messages.claim is None and size <= 0:
            messages.hold(held)
        elif messages.claim is None:
            messages.hold(held + stream.window)
            granted, stalled = partial(self._granted, stream, size), partial(self._stalled, stream)
            messages.ask_for(size, granted, stalled)

    def _granted(self, stream: Stream, size: int) -> None:
        self._enlarge(stream, size)
        self._wants_write()

    def _stalled(self, stream: Stream) -> None:
        log.warning("ext_proc.call.stalled", stream_id=stream.id)
        self.sender.out.append(rst_stream(stream.id, ErrorCode.CANCEL))
        self._close(stream)
        self._wants_write()

    def _enlarge(self, stream: Stream, size: int) -> None:
        stream.window += size
        self.sender.out.append(window_update(stream.id, size))

    def _replenish(self) -> None:
        # Long before it is used up: no frame is as large as half of it.
        self.sender.out.append(window_update(0, CONNECTION_WINDOW - self._window))
        self._window = CONNECTION_WINDOW


def _sent_too_much(stream: Stream) -> ViolationError:
    if stream.half_closed:
        return ViolationError(ErrorCode.STREAM_CLOSED, f"DATA behind the end of {stream.id}")
    return ViolationError(ErrorCode.FLOW_CONTROL_ERROR, f"too much DATA on stream {stream.id}")
