"""The calls of one connection: their streams, their messages, and the room that these may take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from xds_server.ext_proc.wire.budget import Budget, Claim
from xds_server.ext_proc.wire.frames import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
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
    opened_by,
    prefix,
    refusal,
)
from xds_server.ext_proc.wire.headers import HeaderDecoder, repeatable
from xds_server.ext_proc.wire.limits import Allowance, Limits
from xds_server.ext_proc.wire.sender import Sender
from xds_server.ext_proc.wire.stream import INITIAL_WINDOW, Stream

CONNECTION_WINDOW: Final = 4 * 1024 * 1024
"""Given back as it is used: what is held is bounded by the windows of the streams."""

_REMEMBERED_BLOCKS = 32
_REMEMBERED_BLOCK_BYTES = 256

_COMPRESSED = "the message is compressed, which this server does not read: send it as it is"

log = structlog.get_logger()


class Calls:
    """All streams of one connection, from the client's frames to our answers."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        budget: Budget,
        allowance: Allowance,
        sender: Sender,
        wants_write: Callable[[], None],
    ) -> None:
        self._service = service
        self._limits = limits
        self._max_message_bytes = limits.max_message_bytes
        self._budget = budget
        self._allowance = allowance
        self._sender = sender
        self._wants_write = wants_write
        self._decoder = HeaderDecoder(limits.max_header_bytes)
        self._methods: dict[bytes, Method | bytes | None] = {}
        self._window = DEFAULT_WINDOW
        self.open: dict[int, Stream] = {}
        self.last_id = 0
        """The highest id that the client used."""
        self.refusing = False
        """Streams that are new get no answer."""

    def start(self) -> bytes:
        """Return the frame that makes the connection's window as large as we want it."""
        added = CONNECTION_WINDOW - self._window
        self._window = CONNECTION_WINDOW
        return window_update(0, added)

    # From the client -----------------------------------------------------------------------------

    def on_headers(self, stream_id: int, block: bytes, *, ended: bool) -> None:
        """Open a stream, or take the trailers of one."""
        try:
            method = self._methods[block]
        except KeyError:
            method = self._method_of(block)
        if stream_id <= self.last_id:
            self._on_trailers(stream_id, ended=ended)
            return
        if not stream_id & 1:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "a stream with an even id")
        self.last_id = stream_id
        if self.refusing:
            return
        if method is None:
            self._reset(stream_id, ErrorCode.PROTOCOL_ERROR)
        elif isinstance(method, bytes):
            self._sender.refuse(stream_id, method, half_closed=ended)
            self._allowance.spend("a call that is not served")
        elif len(self.open) >= self._limits.max_streams:
            self._reset(stream_id, ErrorCode.REFUSED_STREAM)
        else:
            window = self._sender.initial_window
            stream = Stream(stream_id, method(), window, half_closed=ended)
            self.open[stream_id] = stream
            if ended:
                self._on_half_closed(stream)

    def on_data(self, flags: int, stream_id: int, content: bytes) -> None:
        """Take a part of a message; what a stream gets after its answer is passed over."""
        size = len(content)
        self._window -= size
        if self._window < CONNECTION_WINDOW // 2:
            self._replenish()
        stream = self.open.get(stream_id)
        if stream is None:
            self.check_not_idle(stream_id)
            self._allowance.spend("DATA")
            return
        stream.window -= size
        if stream.window < 0 or stream.half_closed:
            raise _sent_too_much(stream)
        if flags & Flag.PADDED:
            content = unpadded(content)
            self._enlarge(stream, size - len(content))
        ended = flags & Flag.END_STREAM
        if ended:
            stream.half_closed = True
        elif not content:
            self._allowance.spend("DATA")
        # The whole of one message in one frame is what nearly always comes.
        if (
            stream.buffer is None
            and len(content) >= PREFIX_BYTES
            and prefix(content) == (0, len(content) - PREFIX_BYTES)
            and len(content) <= self._max_message_bytes
        ):
            self._on_message(stream, content[PREFIX_BYTES:])
        elif content:
            self._gather(stream, content)
        if ended and stream.call is not None:
            self._on_half_closed(stream)

    def on_reset(self, stream_id: int) -> None:
        """Take the client's word that it wants no answer any more."""
        self.check_not_idle(stream_id)
        self._allowance.spend("RST_STREAM")
        stream = self.open.get(stream_id)
        if stream is not None:
            self._close(stream)

    def on_window_update(self, stream_id: int, size: int) -> None:
        """Take leave to send more, on a stream or (0) on the connection."""
        self._allowance.spend("WINDOW_UPDATE")
        stream = self.open.get(stream_id)
        if stream_id and stream is None:
            self.check_not_idle(stream_id)
            return
        if not size:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
        for ended in self._sender.enlarge(stream, size):
            self._answered(ended)

    def on_initial_window(self, size: int) -> None:
        """Change what may be sent on each stream (RFC 9113 section 6.9.2)."""
        if size > MAX_WINDOW:
            raise ViolationError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1")
        added = size - self._sender.initial_window
        self._sender.initial_window = size
        for stream in tuple(self.open.values()):
            for ended in self._sender.enlarge(stream, added):
                self._answered(ended)

    def check_not_idle(self, stream_id: int) -> None:
        """Refuse a frame for a stream that was never opened."""
        if stream_id > self.last_id or not stream_id & 1:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id} was never opened")

    def close_all(self) -> None:
        """Forget all streams, as the connection is gone; what they held is free."""
        for stream in tuple(self.open.values()):
            self._close(stream)

    # Inside --------------------------------------------------------------------------------------

    def _method_of(self, block: bytes) -> Method | bytes | None:
        method = opened_by(self._decoder.decode(block), self._service)
        if not repeatable(block):
            # It may have changed the table to which the others refer.
            self._methods.clear()
        elif len(block) <= _REMEMBERED_BLOCK_BYTES:
            if len(self._methods) >= _REMEMBERED_BLOCKS:
                self._methods.clear()
            self._methods[block] = method
        return method

    def _on_trailers(self, stream_id: int, *, ended: bool) -> None:
        self.check_not_idle(stream_id)
        stream = self.open.get(stream_id)
        if stream is None:
            self._allowance.spend("HEADERS")
            return
        if stream.half_closed or not ended:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "HEADERS in the middle of a stream")
        stream.half_closed = True
        if stream.call is not None:
            self._on_half_closed(stream)

    def _on_half_closed(self, stream: Stream) -> None:
        if stream.buffer:
            self._reply(stream, refusal(Status.INTERNAL, "the last message is cut short"))
        elif stream.call is not None:
            self._reply(stream, stream.call.half_closed())

    def _gather(self, stream: Stream, content: bytes) -> None:
        """Add *content* to the message that is coming; more than one may become whole by it."""
        if stream.call is None:
            return
        buffer = stream.buffer
        if buffer is None:
            buffer = stream.buffer = bytearray()
        buffer += content
        while len(buffer) >= PREFIX_BYTES and stream.call is not None:
            if not stream.needed and not self._begin(stream, buffer):
                return
            if len(buffer) < stream.needed:
                self._make_room(stream, buffer)
                return
            with memoryview(buffer)[PREFIX_BYTES : stream.needed] as message:
                self._on_message(stream, message)
            self._message_done(stream, buffer)

    def _begin(self, stream: Stream, buffer: bytearray) -> bool:
        """Read the prefix of a message; False if the call ends over it."""
        compressed, length = prefix(buffer)
        if compressed:
            self._reply(stream, refusal(Status.UNIMPLEMENTED, _COMPRESSED))
            return False
        if length > self._max_message_bytes:
            words = f"a message of {length} bytes; at most {self._max_message_bytes} are taken"
            self._reply(stream, refusal(Status.RESOURCE_EXHAUSTED, words))
            return False
        stream.needed = PREFIX_BYTES + length
        return True

    def _make_room(self, stream: Stream, buffer: bytearray) -> None:
        """Have the rest of a message sent, once there is room for it."""
        if stream.claim is not None:
            return
        missing = stream.needed - len(buffer) - stream.window
        if missing > 0:
            granted, stalled = partial(self._granted, stream), partial(self._stalled, stream)
            stream.claim = Claim(missing, buffer, granted, stalled)
            self._budget.enter(stream.claim)

    def _granted(self, stream: Stream) -> None:
        if stream.claim is not None:
            self._enlarge(stream, stream.claim.size)
            self._wants_write()

    def _stalled(self, stream: Stream) -> None:
        log.warning("ext_proc.call.stalled", stream_id=stream.id)
        self._reset(stream.id, ErrorCode.CANCEL)
        self._close(stream)
        self._wants_write()

    def _message_done(self, stream: Stream, buffer: bytearray) -> None:
        del buffer[: stream.needed]
        stream.needed = 0
        if not buffer:
            stream.buffer = None
        if stream.claim is not None:
            self._budget.leave(stream.claim)
            stream.claim = None

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
        if self._sender.reply(stream, reply):
            self._answered(stream)

    def _answered(self, stream: Stream) -> None:
        self._allowance.pay_back()
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        del self.open[stream.id]
        stream.call = None
        if stream.claim is not None:
            claim, stream.claim = stream.claim, None
            self._budget.leave(claim)
        if stream.unsent is not None:
            self._sender.forget(stream)

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._allowance.spend("a stream that had to be reset")
        self._sender.out.append(rst_stream(stream_id, code))

    def _enlarge(self, stream: Stream, size: int) -> None:
        if size > 0:
            stream.window += size
            self._sender.out.append(window_update(stream.id, size))

    def _replenish(self) -> None:
        if self._window < 0:
            raise ViolationError(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than there was leave for")
        self._sender.out.append(window_update(0, CONNECTION_WINDOW - self._window))
        self._window = CONNECTION_WINDOW


def _sent_too_much(stream: Stream) -> ViolationError:
    if stream.half_closed:
        return ViolationError(ErrorCode.STREAM_CLOSED, f"DATA behind the end of {stream.id}")
    words = f"more DATA on stream {stream.id} than there was leave for"
    return ViolationError(ErrorCode.FLOW_CONTROL_ERROR, words)
