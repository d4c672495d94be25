"""An HTTP/2 client without TLS that cuts its DATA frames where a test wants them cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events

from tests.support.deployment import Answer
from xds_server.address import Address

ANSWER_TIMEOUT_S = 20.0
FRAME_HEAD_BYTES = 9
GOAWAY = 7
Headers = Iterable[tuple[str, str]]


class Http2Client:
    """One connection with any number of streams; a stream is known by its number."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        config = h2.config.H2Configuration(header_encoding=None)
        self._connection = h2.connection.H2Connection(config)
        self._incoming = b""
        self._heads: dict[int, dict[str, str]] = {}
        self._bodies: dict[int, bytearray] = {}
        self._ended: set[int] = set()
        self._reset: dict[int, int] = {}

    async def start(self) -> None:
        """Greet the other end."""
        self._connection.initiate_connection()
        await self._flush()

    async def ask(
        self,
        pieces: Iterable[bytes],
        *,
        method: str = "POST",
        path: str = "/v1/completions",
        headers: Headers = (("content-type", "application/json"),),
        trailers: Headers = (),
    ) -> Answer:
        """Send a request with one DATA frame per piece, and return the answer."""
        stream = await self.open(method, path, headers)
        await self.send(stream, pieces, trailers)
        return await self.answer(stream)

    async def open(
        self,
        method: str = "POST",
        path: str = "/v1/completions",
        headers: Headers = (("content-type", "application/json"),),
    ) -> int:
        """Send the head of a request, and return the number of its stream."""
        stream = self._connection.get_next_available_stream_id()
        pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "modelyard.test"),
            (":path", path),
        ]
        self._connection.send_headers(stream, [*pseudo, *headers])
        await self._flush()
        return stream

    async def send(self, stream: int, pieces: Iterable[bytes], trailers: Headers = ()) -> None:
        """Send a body: a frame per piece (several where one is too large), then the end.

        The last piece ends the stream, unless there are *trailers*. Stops once it was answered.
        """
        trailers, pieces = list(trailers), list(pieces) or [b""]
        for piece in pieces[:-1]:
            await self.send_data(stream, piece)
        await self.send_data(stream, pieces[-1], end=not trailers)
        if trailers and stream not in self._ended:
            self._connection.send_headers(stream, trailers, end_stream=True)
            await self._flush()

    async def send_data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send *data*, in several frames where one is too large for the other end."""
        while stream not in self._ended:
            room = self._connection.local_flow_control_window(stream)
            size = min(len(data), room, self._connection.max_outbound_frame_size)
            if data and not size:
                await self._read()
                continue
            is_last = size == len(data)
            self._connection.send_data(stream, data[:size], end_stream=end and is_last)
            await self._flush()
            if is_last:
                return
            data = data[size:]

    async def reset(self, stream: int) -> None:
        """Give the stream up."""
        self._connection.reset_stream(stream, error_code=8)
        await self._flush()

    async def answer(self, stream: int) -> Answer:
        """Return the whole answer on *stream*; AssertionError if the other end gave it up."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while stream not in self._ended:
                await self._read()
        assert stream in self._heads, f"reset with error {self._reset.get(stream)}"
        head, body = self._heads[stream], bytes(self._bodies.get(stream, b""))
        is_json = head.get("content-type") == "application/json" and body
        return Answer(int(head[":status"]), head, body, json.loads(body) if is_json else None)

    async def head(self, stream: int) -> tuple[int, dict[str, str]]:
        """Return status and headers of the answer on *stream* as soon as they are here."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while stream not in self._heads and stream not in self._ended:
                await self._read()
        assert stream in self._heads, f"reset with error {self._reset.get(stream)}"
        return int(self._heads[stream][":status"]), self._heads[stream]

    async def body(self, stream: int, size: int | None = None) -> bytes:
        """Return the body on *stream* as soon as *size* bytes are here; None: until its end."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while stream not in self._ended:
                if size is not None and len(self._bodies.get(stream, b"")) >= size:
                    break
                await self._read()
        return bytes(self._bodies.get(stream, b""))

    def reset_code(self, stream: int) -> int | None:
        """Return the error with which the other end gave *stream* up; None: it did not."""
        return self._reset.get(stream)

    async def _read(self) -> None:
        data = await self._reader.read(2**16)
        assert data, "the connection was closed"
        self._incoming += data
        for frame in self._frames():
            for event in self._connection.receive_data(frame):
                self._note(event)
        await self._flush()

    def _frames(self) -> Iterator[bytes]:
        """Cut the frames that are here whole from what came in, and leave GOAWAY out.

        Streams that are open go on behind it (RFC 9113, section 6.8), but h2 takes nothing more.
        """
        while len(self._incoming) >= FRAME_HEAD_BYTES:
            size = FRAME_HEAD_BYTES + int.from_bytes(self._incoming[:3])
            if len(self._incoming) < size:
                return
            frame, self._incoming = self._incoming[:size], self._incoming[size:]
            if frame[3] != GOAWAY:
                yield frame

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._heads[event.stream_id] = _text(dict(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self._bodies.setdefault(event.stream_id, bytearray()).extend(event.data)
            if event.flow_controlled_length:
                self._connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
        elif isinstance(event, h2.events.StreamEnded):
            self._ended.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._reset[event.stream_id] = event.error_code
            self._ended.add(event.stream_id)

    async def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())
        await self._writer.drain()


def _text(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode(): value.decode("utf-8", "surrogateescape") for name, value in headers.items()
    }


@asynccontextmanager
async def http2_client(gateway: Address) -> AsyncIterator[Http2Client]:
    """Connect to *gateway* meanwhile."""
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port, limit=2**20)
    client = Http2Client(reader, writer)
    try:
        await client.start()
        yield client
    finally:
        writer.transport.abort()
