"""A client of the companion's HTTP/2 server without a network: frames to it, and frames from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import hpack

from xds_server.ext_proc.wire.budget import Budget
from xds_server.ext_proc.wire.connection import Connection
from xds_server.ext_proc.wire.frames import (
    HEAD_BYTES,
    PREFACE,
    ErrorCode,
    Flag,
    Frame,
    frame,
    head,
    parsed_settings,
    settings,
)
from xds_server.ext_proc.wire.grpc import OK, Method, Reply, framed
from xds_server.ext_proc.wire.limits import Limits

ECHO = "/test.Service/Echo"
END = b"end"
"""The message that an echo takes for the last one."""


class Echo:
    """Answers each message by itself, until there are no more or one is END."""

    def __init__(self, seen: list[bytes]) -> None:
        self._seen = seen

    def message(self, content: bytes | memoryview) -> Reply:
        self._seen.append(bytes(content))
        return Reply(framed(bytes(content)), OK if content == END else None)

    def half_closed(self) -> Reply:
        return Reply(b"", OK)


@dataclass
class EchoService:
    """One method; `seen` is what its calls were sent."""

    seen: list[bytes] = field(default_factory=list)

    def method(self, path: bytes, _metadata: object = None) -> Method | None:
        return (lambda: Echo(self.seen)) if path == ECHO.encode() else None


@dataclass(frozen=True)
class Got:
    """A frame from the server."""

    kind: Frame
    flags: int
    stream_id: int
    payload: bytes
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def error(self) -> ErrorCode:
        """The code of RST_STREAM or GOAWAY."""
        start = 4 if self.kind is Frame.GOAWAY else 0
        return ErrorCode(int.from_bytes(self.payload[start : start + 4]))


class Wire:
    """A connection and its client; the client's clock stands still unless `now_s` is set."""

    def __init__(self, service: object = None, budget: Budget | None = None, **limits: int) -> None:
        self.service = service or EchoService()
        self.limits = Limits(**limits)
        self.now_s = 0.0
        self.unasked: list[Got] = []
        self.encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._next_id = -1
        self.budget = budget or Budget(self.limits.buffered_bytes, self.limits.first_bytes)
        self.connection = Connection(
            self.service, self.limits, self.budget, lambda: self.now_s, self._on_unasked
        )
        self.greeting = self.parsed(self.connection.start())

    def greet(self, values: dict | None = None) -> list[Got]:
        """Send what a client says first."""
        return self.send(PREFACE, settings(values or {}))

    def send(self, *data: bytes) -> list[Got]:
        return self.parsed(self.connection.receive(b"".join(data)))

    def parsed(self, data: bytes) -> list[Got]:
        """Return the frames of the server's *data*, which must be whole."""
        frames = []
        while data:
            high, low, kind, flags, stream_id = head(data)
            end = HEAD_BYTES + (high << 8 | low)
            assert end <= len(data), "a frame is cut short"
            payload, data = data[HEAD_BYTES:end], data[end:]
            fields = dict(self._decoder.decode(payload)) if kind == Frame.HEADERS else {}
            frames.append(Got(Frame(kind), flags, stream_id, payload, fields))
        return frames

    def opening(self, path: str = ECHO, *, flags: int = Flag.END_HEADERS, **fields: str) -> bytes:
        """Return the HEADERS of a new call."""
        return frame(Frame.HEADERS, flags, self.next_id(), self.block(path, **fields))

    def next_id(self) -> int:
        self._next_id += 2
        return self._next_id

    def block(self, path: str = ECHO, **fields: str) -> bytes:
        return self.encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "companion"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *fields.items(),
            ]
        )

    def _on_unasked(self) -> None:
        self.unasked += self.parsed(self.connection.take())


def data(stream_id: int, content: bytes, *, ends: bool = False) -> bytes:
    return frame(Frame.DATA, Flag.END_STREAM if ends else 0, stream_id, content)


def in_frames(stream_id: int, content: bytes, size: int = 16_384) -> Iterable[bytes]:
    """Yield *content* as frames of *size* bytes."""
    for start in range(0, len(content), size):
        yield data(stream_id, content[start : start + size])


def kinds(frames: Iterable[Got]) -> list[Frame]:
    return [got.kind for got in frames]


def answers(frames: Iterable[Got], stream_id: int) -> tuple[bytes, str | None]:
    """Return the DATA of one stream, and the status at its end if it has come."""
    content, status = b"", None
    for got in frames:
        if got.stream_id == stream_id:
            if got.kind is Frame.DATA:
                content += got.payload
            elif got.kind is Frame.HEADERS:
                status = got.fields.get("grpc-status", status)
    return content, status


def windows(frames: Iterable[Got]) -> dict[int, int]:
    """Return by how much WINDOW_UPDATEs made the window of each stream larger; 0: connection."""
    sums: dict[int, int] = {}
    for got in frames:
        if got.kind is Frame.WINDOW_UPDATE:
            size = int.from_bytes(got.payload)
            sums[got.stream_id] = sums.get(got.stream_id, 0) + size
    return sums


def settings_of(got: Got) -> dict[int, int]:
    return dict(parsed_settings(got.payload))
