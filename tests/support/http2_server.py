"""A server of HTTP/2 in clear, which takes nothing else and tells what it was sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

READ_BYTES = 65_536
HEALTH_PATH = "/health"


@dataclass(slots=True)
class Http2Server:
    """One that runs."""

    address: str = ""
    connections: int = 0
    health_checks: int = 0
    bodies: list[bytes] = field(default_factory=list)
    """Of all requests but health checks."""


class _Connection:
    def __init__(self, server: Http2Server, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._writer = writer
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self._protocol = h2.connection.H2Connection(config)
        self._paths: dict[int, str] = {}
        self._bodies: dict[int, bytearray] = {}

    def start(self) -> None:
        self._protocol.initiate_connection()
        self._writer.write(self._protocol.data_to_send())

    def receive(self, data: bytes) -> None:
        for event in self._protocol.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._paths[event.stream_id] = dict(event.headers)[":path"]
                self._bodies[event.stream_id] = bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self._bodies[event.stream_id] += event.data
                size = event.flow_controlled_length
                self._protocol.acknowledge_received_data(size, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id)
        self._writer.write(self._protocol.data_to_send())

    def _answer(self, stream: int) -> None:
        path, body = self._paths.pop(stream), bytes(self._bodies.pop(stream))
        if path == HEALTH_PATH:
            self._server.health_checks += 1
        else:
            self._server.bodies.append(body)
        headers = [(":status", "200"), ("content-type", "application/json")]
        self._protocol.send_headers(stream, [*headers, ("x-spoken", "HTTP/2")])
        content = json.dumps({"path": path, "body_bytes": len(body)}).encode()
        self._protocol.send_data(stream, content, end_stream=True)


@asynccontextmanager
async def http2_server() -> AsyncIterator[Http2Server]:
    """Run a server that answers everything with 200."""
    server = Http2Server()
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        writers.add(writer)
        connection = _Connection(server, writer)
        connection.start()
        try:
            while data := await reader.read(READ_BYTES):
                connection.receive(data)
        except (ConnectionError, h2.exceptions.ProtocolError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        host, port = listening.sockets[0].getsockname()[:2]
        server.address = f"{host}:{port}"
        try:
            yield server
        finally:
            for writer in tuple(writers):
                writer.close()
