"""A client of the xDS port that keeps no rule of xDS, and of HTTP/2 only those it is told to keep.

async with raw_xds(address) as client:
    client.open(DELTA)
    await client.send(request.SerializeToString())
    assert await client.ended() == (INVALID_ARGUMENT, "...")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import unquote

import grpc
import hpack

from xds_server.ads.service import SERVICE_NAME
from xds_server.ext_proc.wire.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    PREFACE,
    SETTINGS_ACK,
    Flag,
    Frame,
    Setting,
    frame,
    head,
    number,
    parsed_settings,
    ping,
    settings,
    window_update,
)
from xds_server.ext_proc.wire.grpc import framed

DELTA = "DeltaAggregatedResources"
SOTW = "StreamAggregatedResources"
STREAM = 1
WINDOW = 2**31 - 1
CODES = {code.value[0]: code for code in grpc.StatusCode}
TIMEOUT_S = 20.0


class RawClient(asyncio.Protocol):
    """One connection, with at most one stream."""

    def __init__(self, window: int) -> None:
        self.received_bytes = 0
        self.lost = asyncio.Event()
        self.stream_ended = asyncio.Event()
        self.status: dict[str, str] = {}
        self._own_window = window
        self._has_greeted = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._decoder = hpack.Decoder()
        self._initial_window = 65_535
        self._windows = {0: 65_535, STREAM: 65_535}
        self._room = asyncio.Event()

    def greet(self) -> None:
        """Begin HTTP/2: who does not has said nothing at all."""
        self._has_greeted = True
        self._write(PREFACE + settings({Setting.INITIAL_WINDOW_SIZE: self._own_window}))
        if self._own_window > 2**16:
            self._write(window_update(0, WINDOW - 2**16))

    def open(self, method: str) -> None:
        """Open the stream, and say nothing in it."""
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{SERVICE_NAME}/{method}"),
            (":authority", "modelyard-xds"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        encoded = hpack.Encoder().encode(fields)
        self._write(frame(Frame.HEADERS, Flag.END_HEADERS, STREAM, encoded))

    async def send(self, *messages: bytes) -> bool:
        """Send *messages*; return False if the stream had ended before."""
        data = b"".join(map(framed, messages))
        while data and not self.stream_ended.is_set():
            size = min(len(data), MAX_FRAME_BYTES, *self._windows.values())
            if size <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            self._write(frame(Frame.DATA, 0, STREAM, data[:size]))
            data = data[size:]
            for stream_id in self._windows:
                self._windows[stream_id] -= size
        return not data

    def done(self) -> None:
        """Say that nothing more will be sent."""
        if not self.stream_ended.is_set():
            self._write(frame(Frame.DATA, Flag.END_STREAM, STREAM, b""))

    def say(self, data: bytes) -> None:
        """Write *data* as it is."""
        self._write(data)

    def listen(self, listens: bool) -> None:
        """Read what comes, pings among it, or leave it where it is."""
        assert self._transport
        if listens:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    async def ended(self, within_s: float = TIMEOUT_S) -> tuple[grpc.StatusCode, str] | None:
        """Wait until the stream or the connection ends; return the status, if there is one."""
        async with asyncio.timeout(within_s):
            await self.stream_ended.wait()
        if "grpc-status" not in self.status:
            return None
        return CODES[int(self.status["grpc-status"])], unquote(self.status.get("grpc-message", ""))

    def close(self) -> None:
        """Leave without a word."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        self._end()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if not self._has_greeted:
            return
        self._buffer += data
        at, end = 0, len(self._buffer)
        while end - at >= HEAD_BYTES:
            high, low, kind, flags, stream_id = head(self._buffer, at)
            stop = at + HEAD_BYTES + (high << 8 | low)
            if stop > end:
                break
            self._take(kind, flags, stream_id, bytes(self._buffer[at + HEAD_BYTES : stop]))
            at = stop
        del self._buffer[:at]

    def _take(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == Frame.SETTINGS and not flags & Flag.ACK:
            self._take_settings(parsed_settings(payload))
        elif kind == Frame.WINDOW_UPDATE and stream_id in self._windows:
            self._windows[stream_id] += number(payload, 0)[0]
            self._room.set()
        elif kind == Frame.PING and not flags & Flag.ACK:
            self._write(ping(payload, ack=True))
        elif kind == Frame.HEADERS:
            self.status |= dict(self._decoder.decode(payload))
            if flags & Flag.END_STREAM:
                self._end()
        elif kind == Frame.RST_STREAM:
            self._end()

    def _take_settings(self, values: Sequence[tuple[int, int]]) -> None:
        for setting, value in values:
            if setting == Setting.INITIAL_WINDOW_SIZE:
                self._windows[STREAM] += value - self._initial_window
                self._initial_window = value
        self._write(SETTINGS_ACK)

    def _end(self) -> None:
        self.stream_ended.set()
        self._room.set()

    def _write(self, data: bytes) -> None:
        assert self._transport
        if not self.lost.is_set():
            self._transport.write(data)


@asynccontextmanager
async def raw_xds(
    address: str, *, window: int = WINDOW, greets: bool = True
) -> AsyncIterator[RawClient]:
    """Connect to *address*; *window* is how much of each stream may be on its way to us."""
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: RawClient(window), host, int(port))
    if greets:
        client.greet()
    try:
        yield client
    finally:
        client.close()
