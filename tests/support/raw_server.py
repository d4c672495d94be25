"""A server that keeps every byte that it was sent, and answers all requests alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: upstream/1.0\r\n\r\n{}"
LENGTH = re.compile(rb"^content-length: (\d+)\r$", re.MULTILINE)


class RawServer:
    """What one server got."""

    def __init__(self) -> None:
        self.address = ""
        """`host:port`, once it runs."""
        self.requests: list[bytes] = []
        """The head of each, with its last line end."""

    def lines(self) -> list[bytes]:
        """Return the lines of all heads as a server would see them that takes anything for one."""
        return [line for head in self.requests for line in re.split(rb"[\r\n\v\f\0]+", head)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                if length := LENGTH.search(head):
                    await reader.readexactly(int(length[1]))
                elif b"\r\ntransfer-encoding: chunked\r\n" in head:
                    await reader.readuntil(b"0\r\n\r\n")
                writer.write(ANSWER)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """Run one on a free port meanwhile."""
    server = RawServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**20)
    async with listening:
        server.address = "{}:{}".format(*listening.sockets[0].getsockname()[:2])
        yield server
