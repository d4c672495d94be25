"""An HTTP/1.1 client that sends the bytes it is given, cut where a test wants them cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from tests.support.deployment import Answer
from xds_server.address import Address

ANSWER_TIMEOUT_S = 20.0
WITHOUT_BODY = (204, 304)


class Http1Client:
    """One connection, on which nothing is sent but what is written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, data: bytes) -> None:
        """Send *data* when there is room."""
        self._writer.write(data)

    async def send(self, data: bytes) -> None:
        """Send *data* and wait until there is room for more; OSError if the other end is gone."""
        self._writer.write(data)
        await self._writer.drain()

    async def send_pieces(self, pieces: Iterable[bytes]) -> None:
        """Send each piece as a packet of its own, as far as that can be had."""
        for piece in pieces:
            await self.send(piece)
            # The other end gets its turn, so that it sees what is there by now.
            await asyncio.sleep(0)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Return status and headers of the next answer, interim ones (1xx) included."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            text = (await self._reader.readuntil(b"\r\n\r\n")).decode("utf-8", "surrogateescape")
        status_line, *lines = text[:-4].split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(status_line.split()[1]), {n.lower(): v.strip() for n, _, v in pairs}

    async def answer(self, method: str = "POST") -> Answer:
        """Return the next whole answer, to a request of *method*; interim ones are skipped."""
        status, headers = await self.head()
        while status < 200:
            status, headers = await self.head()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            empty = method == "HEAD" or status in WITHOUT_BODY
            body = b"" if empty else await self._body(headers)
        is_json = headers.get("content-type") == "application/json" and body
        return Answer(status, headers, body, json.loads(body) if is_json else None)

    async def read(self, size: int) -> bytes:
        """Return what is there, at most *size* bytes, once there is something; empty: the end."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await self._reader.read(size)

    async def closed(self) -> None:
        """Wait until the other end closes, or resets, the connection."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            with contextlib.suppress(ConnectionResetError):
                await self._reader.read()

    def abort(self) -> None:
        """Reset the connection, as a client does that dies."""
        transport = self._writer.transport
        raw = transport.get_extra_info("socket")
        linger_zero = b"\x01\0\0\0\0\0\0\0"
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        transport.abort()

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return await self._chunks()
        return await self._reader.readexactly(int(headers["content-length"]))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self._reader.readline()).partition(b";")[0], 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        while await self._reader.readline() != b"\r\n":
            pass
        return body


@asynccontextmanager
async def http1_client(gateway: Address) -> AsyncIterator[Http1Client]:
    """Connect to *gateway* meanwhile."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port, limit=2**20)
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Http1Client(reader, writer)
    try:
        yield client
    finally:
        writer.transport.abort()


def head(
    method: str = "POST",
    path: str = "/v1/completions",
    *,
    length: int | None = None,
    headers: Iterable[str] = ("content-type: application/json",),
) -> bytes:
    """Return the head of a request; *headers* are whole lines."""
    lines = ["host: modelyard.test", *headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


def whole(
    body: bytes,
    method: str = "POST",
    path: str = "/v1/completions",
    *,
    headers: Iterable[str] = ("content-type: application/json",),
) -> bytes:
    """Return a request that tells the length of *body*."""
    return head(method, path, length=len(body), headers=headers) + body


def chunk(data: bytes, extension: str = "") -> bytes:
    """Return *data* as one chunk; empty data is the last one, without the line end of trailers."""
    return f"{len(data):x}{extension}\r\n".encode() + (data + b"\r\n" if data else b"")


def chunked(pieces: Iterable[bytes], *, extension: str = "", trailers: bytes = b"") -> bytes:
    """Return *pieces* as a chunked body; *trailers* are whole lines with their line ends."""
    chunks = b"".join(chunk(piece, extension) for piece in pieces if piece)
    return chunks + chunk(b"", extension) + trailers + b"\r\n"


def cut(data: bytes, size: int) -> Iterable[bytes]:
    """Return *data* in pieces of *size* bytes."""
    return (data[start : start + size] for start in range(0, len(data), size))
