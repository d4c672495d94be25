"""One connection of HTTP/2 as its server: bytes in, bytes out, calls into a service (RFC 9113).

It does not read, write, wait or know of time but by the clock it is given. Every rule or bound that
the peer breaks ends the connection by GOAWAY; no bytes make it raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from xds_server.ext_proc.wire.budget import Budget
from xds_server.ext_proc.wire.calls import Calls
from xds_server.ext_proc.wire.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    MAX_STREAM_ID,
    PREFACE,
    SETTINGS_ACK,
    ErrorCode,
    Flag,
    Frame,
    Setting,
    ViolationError,
    goaway,
    head,
    number,
    parsed_settings,
    ping,
    settings,
    unpadded,
)
from xds_server.ext_proc.wire.grpc import Service
from xds_server.ext_proc.wire.limits import Allowance, Limits
from xds_server.ext_proc.wire.stream import INITIAL_WINDOW

# Plain numbers: looking one up in the enumeration takes as long as four comparisons.
_DATA, _SETTINGS, _CONTINUATION = (
    int(kind) for kind in (Frame.DATA, Frame.SETTINGS, Frame.CONTINUATION)
)
_DRAINING = b"draining"
_PRIORITY_BYTES = 5
_PING_BYTES = 8
_MAX_FRAME_SIZE_SETTING = 2**24 - 1


class Connection:
    """The state of one connection.

    `over` turns true when nothing will be sent any more but what was; `failure` then tells what the
    peer did wrong, if anything. *wants_write* is called when there is output although nothing was
    received: `take` it.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits,
        budget: Budget,
        clock: Callable[[], float],
        wants_write: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._allowance = Allowance(limits, clock)
        self._calls = Calls(service, limits, budget, self._allowance, self._output_unasked)
        self._out = self._calls.sender.out
        self._wants_write = wants_write
        self._receiving = False
        self._rest = b""
        self._prefaced = False
        self._settled = False
        # HEADERS whose CONTINUATION is to come: stream, whether it ends, and the block so far.
        self._unfinished: tuple[int, bool, bytearray] | None = None
        self._draining = False
        self._lost = False
        self.over = False
        self.failure: ViolationError | None = None

    @property
    def open_streams(self) -> int:
        """How many calls are not answered yet."""
        return len(self._calls.open)

    def start(self) -> bytes:
        """Return what a server says first."""
        values = {
            Setting.MAX_CONCURRENT_STREAMS: (
                self._limits.advertised_streams or self._limits.max_streams
            ),
            Setting.INITIAL_WINDOW_SIZE: INITIAL_WINDOW,
            Setting.MAX_HEADER_LIST_SIZE: self._limits.max_header_bytes,
        }
        return settings(values) + self._calls.start()

    def receive(self, data: bytes) -> bytes:
        """Take the next bytes of the peer, cut anywhere; return what to send."""
        if self.over or self._lost:
            return b""
        if self._rest:
            data = self._rest + data
        self._receiving = True
        try:
            self._rest = data[self._read(data) :]
        except ViolationError as violation:
            self._fail(violation)
        self._receiving = False
        self._see_whether_over()
        return self.take()

    def take(self) -> bytes:
        """Return what to send, once."""
        out = self._out
        taken = b"".join(out)
        out.clear()
        return taken

    def drain(self) -> None:
        """Answer calls until the peer knows that it is to open no more, and then be over.

        Graceful shutdown of RFC 9113 section 6.8: a GOAWAY that refuses nothing, and the one that
        tells the last stream when the answer to a PING shows that the first has arrived.
        """
        if not self._draining and not self.over:
            self._draining = True
            self._out += (
                goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR),
                ping(_DRAINING, ack=False),
            )
            self._output_unasked()

    def lost(self) -> None:
        """Give back what the calls hold: the connection is gone."""
        self._lost = True
        self._calls.close_all()

    def _output_unasked(self) -> None:
        if not self._receiving:
            self._see_whether_over()
            self._wants_write()

    def _see_whether_over(self) -> None:
        if self._calls.refusing and not self._calls.open:
            self.over = True

    def _fail(self, violation: ViolationError) -> None:
        self.failure = violation
        self.over = True
        self._rest = b""
        self._calls.close_all()
        self._out.append(goaway(self._calls.last_id, violation.code, str(violation)))

    def _read(self, data: bytes) -> int:
        """Handle the whole frames at the head of *data*; return how many bytes they are."""
        at, end = 0, len(data)
        if not self._prefaced:
            if end < len(PREFACE) and PREFACE.startswith(data):
                return 0
            at = _behind_preface(data)
            self._prefaced = True
        calls = self._calls
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = head(data, at)
            start = at + HEAD_BYTES
            stop = start + (high << 8 | low)
            if stop - start > MAX_FRAME_BYTES:
                raise ViolationError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {stop - start} bytes")
            if stop > end:
                break
            at = stop
            stream_id &= MAX_STREAM_ID
            if kind == _DATA and self._unfinished is None and stream_id:
                calls.on_data(flags, stream_id, data[start:stop])
            else:
                self._on_frame(kind, flags, stream_id, data[start:stop])
        return at

    def _on_frame(self, kind: int, flags: int, stream_id: int, content: bytes) -> None:
        if not self._settled and kind != _SETTINGS:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if (kind == _CONTINUATION) is not (self._unfinished is not None):
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION out of place")
        if kind >= len(self._FRAMES):
            self._allowance.spend("an unknown frame")
            return
        handler, on_stream, size = self._FRAMES[kind]
        if on_stream is not None and on_stream is not bool(stream_id):
            name = Frame(kind).name
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, f"{name} on stream {stream_id}")
        if size is not None and len(content) != size:
            name = Frame(kind).name
            raise ViolationError(ErrorCode.FRAME_SIZE_ERROR, f"{name} of {len(content)} bytes")
        handler(self, flags, stream_id, content)

    def _on_headers(self, flags: int, stream_id: int, content: bytes) -> None:
        if flags & Flag.PADDED:
            content = unpadded(content)
        if flags & Flag.PRIORITY:
            if len(content) < _PRIORITY_BYTES:
                raise ViolationError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS cut short")
            content = content[_PRIORITY_BYTES:]
        ended = bool(flags & Flag.END_STREAM)
        if flags & Flag.END_HEADERS:
            self._calls.on_headers(stream_id, content, ended=ended)
        else:
            self._allowance.spend("HEADERS without an end")
            self._unfinished = stream_id, ended, bytearray(content)

    def _on_continuation(self, flags: int, stream_id: int, content: bytes) -> None:
        self._allowance.spend("CONTINUATION")
        if self._unfinished is None or self._unfinished[0] != stream_id:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of another stream")
        _, ended, block = self._unfinished
        block += content
        if len(block) > self._limits.max_header_bytes:
            raise ViolationError(ErrorCode.ENHANCE_YOUR_CALM, "the headers are too large")
        if flags & Flag.END_HEADERS:
            self._unfinished = None
            self._calls.on_headers(stream_id, bytes(block), ended=ended)

    def _on_rst_stream(self, _flags: int, stream_id: int, _content: bytes) -> None:
        self._calls.on_reset(stream_id)

    def _on_settings(self, flags: int, _stream_id: int, content: bytes) -> None:
        self._allowance.spend("SETTINGS")
        if flags & Flag.ACK:
            if not self._settled:
                raise ViolationError(ErrorCode.PROTOCOL_ERROR, "the first frame is an ACK")
            if content:
                raise ViolationError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are ACKed with content")
            return
        self._settled = True
        for name, value in parsed_settings(content):
            self._allowance.spend("a setting")  # one may change the windows of all streams
            self._on_setting(name, value)
        self._out.append(SETTINGS_ACK)

    def _on_setting(self, name: int, value: int) -> None:
        if name == Setting.INITIAL_WINDOW_SIZE:
            self._calls.on_initial_window(value)
        elif name == Setting.ENABLE_PUSH and value > 1:
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH is {value}")
        elif name == Setting.MAX_FRAME_SIZE and not (
            MAX_FRAME_BYTES <= value <= _MAX_FRAME_SIZE_SETTING
        ):
            raise ViolationError(ErrorCode.PROTOCOL_ERROR, f"MAX_FRAME_SIZE is {value}")

    def _on_ping(self, flags: int, _stream_id: int, content: bytes) -> None:
        self._allowance.spend("PING")
        if not flags & Flag.ACK:
            self._out.append(ping(content, ack=True))
        elif self._draining and content == _DRAINING and not self._calls.refusing:
            self._calls.refusing = True
            self._out.append(goaway(self._calls.last_id, ErrorCode.NO_ERROR))

    def _on_window_update(self, _flags: int, stream_id: int, content: bytes) -> None:
        self._calls.on_window_update(stream_id, number(content)[0] & MAX_STREAM_ID)

    def _on_nothing(self, _flags: int, _stream_id: int, _content: bytes) -> None:
        self._allowance.spend("PRIORITY or GOAWAY")

    def _on_misplaced(self, _flags: int, _stream_id: int, _content: bytes) -> None:
        raise ViolationError(ErrorCode.PROTOCOL_ERROR, "a frame that no client may send there")

    # By type: who handles it, whether it belongs to a stream (None: to either), and its length.
    _FRAMES: ClassVar[tuple[tuple[_Handler, bool | None, int | None], ...]] = (
        (_on_misplaced, None, None),  # DATA on stream 0
        (_on_headers, True, None),
        (_on_nothing, True, _PRIORITY_BYTES),
        (_on_rst_stream, True, 4),
        (_on_settings, False, None),
        (_on_misplaced, None, None),  # PUSH_PROMISE
        (_on_ping, False, _PING_BYTES),
        (_on_nothing, False, None),  # GOAWAY
        (_on_window_update, None, 4),
        (_on_continuation, True, None),
    )


def _behind_preface(data: bytes) -> int:
    if not data.startswith(PREFACE):
        raise ViolationError(ErrorCode.PROTOCOL_ERROR, "that is not HTTP/2")
    return len(PREFACE)


_Handler = Callable[[Connection, int, int, bytes], None]
