"""Frames of HTTP/2 as bytes (RFC 9113 sections 4 and 6): their heads, and those that we send."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
MAX_FRAME_BYTES: Final = 16_384
"""The most that a frame may carry unless its receiver says otherwise; we do not."""
DEFAULT_WINDOW: Final = 65_535
MAX_WINDOW: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1

head: Final = struct.Struct(">HBBBI").unpack_from
"""Read a head: the high 16 and the low 8 bits of the length, type, flags, reserved bit and id."""
number: Final = struct.Struct(">I").unpack_from
_setting: Final = struct.Struct(">HI")


class Frame(IntEnum):
    """Types of frames."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag:
    """Flags of frames; ACK is for SETTINGS and PING, which know no END_STREAM.

    Plain integers: `&` on an IntFlag takes a microsecond, and each request has eight of them.
    """

    ACK: Final = 0x1
    END_STREAM: Final = 0x1
    END_HEADERS: Final = 0x4
    PADDED: Final = 0x8
    PRIORITY: Final = 0x20


class Setting(IntEnum):
    """Settings that we send or heed (RFC 9113 section 6.5.2)."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """Why a stream or a connection ended (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ViolationError(Exception):
    """The peer broke a rule or a bound, after which its connection cannot go on."""

    def __init__(self, code: ErrorCode, words: str) -> None:
        super().__init__(f"{code.name}: {words}")
        self.code = code


def frame(kind: Frame, flags: int, stream_id: int, payload: bytes) -> bytes:
    """Return a frame; its payload must fit into one."""
    head_ = b"%b%c%c%b" % (len(payload).to_bytes(3), kind, flags, stream_id.to_bytes(4))
    return head_ + payload


def settings(values: dict[Setting, int]) -> bytes:
    """Return our SETTINGS."""
    return frame(Frame.SETTINGS, 0, 0, b"".join(_setting.pack(*pair) for pair in values.items()))


def parsed_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return the identifiers and values of a peer's SETTINGS in their order."""
    if len(payload) % _setting.size:
        raise ViolationError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS are cut short")
    return list(_setting.iter_unpack(payload))


SETTINGS_ACK: Final = frame(Frame.SETTINGS, Flag.ACK, 0, b"")


def ping(content: bytes, *, ack: bool) -> bytes:
    """Return a PING with its 8 bytes of *content*, or the answer to one."""
    return frame(Frame.PING, Flag.ACK if ack else 0, 0, content)


def window_update(stream_id: int, size: int) -> bytes:
    """Return leave for *size* bytes more; stream 0 is the connection."""
    return frame(Frame.WINDOW_UPDATE, 0, stream_id, size.to_bytes(4))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """Return the abrupt end of a stream."""
    return frame(Frame.RST_STREAM, 0, stream_id, code.to_bytes(4))


def goaway(last_stream_id: int, code: ErrorCode, words: str = "") -> bytes:
    """Return the announcement that streams above *last_stream_id* get no answer."""
    payload = last_stream_id.to_bytes(4) + code.to_bytes(4) + words.encode()[:256]
    return frame(Frame.GOAWAY, 0, 0, payload)


def unpadded(content: bytes) -> bytes:
    """Return *content* of a frame with PADDED without its length of padding and the padding."""
    if not content or content[0] >= len(content):
        raise ViolationError(ErrorCode.PROTOCOL_ERROR, "more padding than the frame holds")
    return content[1 : len(content) - content[0]]
