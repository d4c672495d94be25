"""HTTP/2 frames as no library would send them, and what comes of them."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from hpack import Decoder, Encoder

from xds_server.address import Address

WITHIN_S = 20.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEAD_BYTES = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 2, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MAX_FRAME_BYTES = 16_384


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head_frames(stream: int, headers: Iterable[tuple[str, str]], *, ends: bool) -> bytes:
    """Return *headers* in as many frames as they need; whether the stream *ends* with them."""
    block = Encoder().encode(list(headers), huffman=False)
    parts = [block[i : i + MAX_FRAME_BYTES] for i in range(0, len(block), MAX_FRAME_BYTES)]
    kinds = [HEADERS, *[CONTINUATION] * (len(parts) - 1)]
    flags = [END_STREAM * ends, *[0] * (len(parts) - 1)]
    flags[-1] |= END_HEADERS
    return b"".join(
        frame(kind, flag, stream, part)
        for kind, flag, part in zip(kinds, flags, parts, strict=True)
    )


class Http2Frames:
    """One connection; nothing is sent but what is written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder()

    async def send(self, data: bytes) -> None:
        """Send *data* and wait until there is room for more; OSError if the other end is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def next(self) -> tuple[int, int, int, bytes] | None:
        """Return kind, flags, stream and payload of the next frame; None: the connection ended."""
        try:
            async with asyncio.timeout(WITHIN_S):
                head = await self._reader.readexactly(FRAME_HEAD_BYTES)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return head[3], head[4], int.from_bytes(head[5:]), payload

    async def outcome(self, stream: int = 1) -> str:
        """Return what comes of *stream*, in the words of docs/edge.md."""
        status, body = "", b""
        while (heard := await self.next()) is not None:
            kind, flags, of, payload = heard
            if of != stream:
                continue
            if kind == RST_STREAM:
                return "stream reset"
            if kind == HEADERS:
                headers = dict(self._decoder.decode(payload))
                status = headers[":status"]
            if kind == DATA:
                body += payload
            if kind in {DATA, HEADERS} and flags & END_STREAM:
                return _answer(status, headers.get("location", ""), body)
        return "connection closed"


def _answer(status: str, location: str, body: bytes) -> str:
    if status == "200":
        return "passes, cleaned"
    if status == "307":
        is_ours = location.startswith("/") and not location.startswith(("//", "/\\"))
        return "307" if is_ours else f"307 to {location}"
    return f"{status} `{json.loads(body)['error']['code']}`"


@asynccontextmanager
async def http2_frames(gateway: Address) -> AsyncIterator[Http2Frames]:
    """Connect to *gateway* meanwhile, and greet it."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    try:
        writer.write(PREFACE + frame(SETTINGS) + frame(SETTINGS, ACK))
        yield Http2Frames(reader, writer)
    finally:
        writer.transport.abort()


async def http2_outcome(gateway: Address, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return what comes of a request with *headers* and *body* on a connection of its own."""
    async with http2_frames(gateway) as client:
        with suppress(ConnectionError):
            await client.send(
                head_frames(1, headers, ends=False) + frame(DATA, END_STREAM, 1, body)
            )
        return await client.outcome()
