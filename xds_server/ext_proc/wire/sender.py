"""What goes out on one connection, no faster than the peer's windows let it (RFC 9113 section 5.2).

Answers are small, so that nearly always all of one goes out at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from xds_server.ext_proc.wire.frames import (
    DEFAULT_WINDOW,
    MAX_FRAME_BYTES,
    MAX_WINDOW,
    ErrorCode,
    Flag,
    Frame,
    ViolationError,
    frame,
    rst_stream,
)
from xds_server.ext_proc.wire.grpc import Reply
from xds_server.ext_proc.wire.headers import RESPONSE
from xds_server.ext_proc.wire.stream import Stream

# Heads of frames in parts, between which lengths and stream ids stand.
_RESPONSE = len(RESPONSE).to_bytes(3) + bytes((Frame.HEADERS, Flag.END_HEADERS))
_LAST = bytes((Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM))
_DATA = bytes((Frame.DATA, 0))
_RST_STREAM = (4).to_bytes(3) + bytes((Frame.RST_STREAM, 0))
_NO_ERROR = ErrorCode.NO_ERROR.to_bytes(4)


class Sender:
    """The frames to send, and the peer's windows."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.initial_window = DEFAULT_WINDOW
        self._window = DEFAULT_WINDOW
        self._blocked: dict[int, Stream] = {}

    def reply(self, stream: Stream, reply: Reply) -> bool:
        """Send *reply*, and tell whether that was the end of the stream."""
        message, trailers = reply
        size = len(message)
        if (
            size > self._window
            or size > stream.send_window
            or size > MAX_FRAME_BYTES
            or stream.unsent is not None
        ):
            return self._wait(stream, reply)
        id_ = stream.id.to_bytes(4)
        out = self.out
        if not stream.started:
            if not size and trailers is not None:
                self._end(stream, RESPONSE + trailers)
                return True
            stream.started = True
            out += (_RESPONSE, id_, RESPONSE)
        if size:
            self._window -= size
            stream.send_window -= size
            out += (size.to_bytes(3), _DATA, id_, message)
        if trailers is None:
            return False
        self._end(stream, trailers)
        return True

    def refuse(self, stream_id: int, block: bytes, *, half_closed: bool) -> None:
        """Answer a stream by headers alone."""
        self.out.append(frame(Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, stream_id, block))
        if not half_closed:
            self.out.append(rst_stream(stream_id, ErrorCode.NO_ERROR))

    def forget(self, stream: Stream) -> None:
        """Send no more on *stream*."""
        self._blocked.pop(stream.id, None)

    def enlarge(self, stream: Stream | None, size: int) -> list[Stream]:
        """Take leave for *size* bytes more, None being the connection; return what ended by it."""
        if stream is None:
            self._window = _enlarged(self._window, size)
            return self._flush(tuple(self._blocked.values())) if self._blocked else []
        stream.send_window = _enlarged(stream.send_window, size)
        return self._flush((stream,)) if stream.unsent is not None else []

    def begin_with(self, size: int, streams: Iterable[Stream]) -> list[Stream]:
        """Let each of *streams*, and each to come, begin with leave for *size* bytes.

        What a stream has used stays used, so that its window may become negative (RFC 9113
        section 6.9.2). Returns what ended by it.
        """
        added = _enlarged(0, size) - self.initial_window
        self.initial_window = size
        for stream in streams:
            stream.send_window = _enlarged(stream.send_window, added)
        return self._flush(tuple(self._blocked.values()))

    def _end(self, stream: Stream, block: bytes) -> None:
        id_ = stream.id.to_bytes(4)
        self.out += (len(block).to_bytes(3), _LAST, id_, block)
        if not stream.half_closed:
            # "A server MAY request that the client abort transmission of a request without error"
            # (RFC 9113 section 8.1): nothing that may still come is of interest.
            self.out += (_RST_STREAM, id_, _NO_ERROR)

    def _wait(self, stream: Stream, reply: Reply) -> bool:
        if not stream.started:
            stream.started = True
            self.out.append(frame(Frame.HEADERS, Flag.END_HEADERS, stream.id, RESPONSE))
        stream.unsent = (stream.unsent or bytearray()) + reply.message
        stream.trailers = reply.trailers
        self._blocked[stream.id] = stream
        return bool(self._flush((stream,)))

    def _flush(self, blocked: tuple[Stream, ...]) -> list[Stream]:
        """Send what may be sent of *blocked*; return the streams that came to their end."""
        ended: list[Stream] = []
        for stream in blocked:
            if self._sent_all(stream):
                del self._blocked[stream.id]
                stream.unsent = None
                if stream.trailers is not None:
                    self._end(stream, stream.trailers)
                    ended.append(stream)
        return ended

    def _sent_all(self, stream: Stream) -> bool:
        unsent = stream.unsent
        while unsent:
            size = min(len(unsent), MAX_FRAME_BYTES, self._window, stream.send_window)
            if size <= 0:
                return False
            self._window -= size
            stream.send_window -= size
            self.out.append(frame(Frame.DATA, 0, stream.id, bytes(unsent[:size])))
            del unsent[:size]
        return True


def _enlarged(window: int, size: int) -> int:
    if window + size > MAX_WINDOW:
        raise ViolationError(ErrorCode.FLOW_CONTROL_ERROR, "a window above 2^31-1")
    return window + size
