"""A TCP connection between two machines that can be cut: nothing gets through, nothing is closed.

What is sent meanwhile arrives once the link is whole again, as it does when TCP sends it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from xds_server.address import Address

CHUNK_BYTES = 64 * 1024


class Link:
    """The way to *target* over `address`."""

    def __init__(self, target: Address) -> None:
        self.address: Address
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()

    def cut(self) -> None:
        """Let nothing through: no byte, no end of a connection, and nothing of a new one."""
        self._whole.clear()

    def heal(self) -> None:
        self._whole.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, which was accepted."""
        try:
            await self._whole.wait()
            far_reader, far_writer = await asyncio.open_connection(
                self._target.host, self._target.port
            )
        except OSError:
            writer.close()
            return
        except asyncio.CancelledError:
            writer.close()
            raise
        ends = (writer, far_writer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pump(reader, far_writer, ends))
            tasks.create_task(self._pump(far_reader, writer, ends))

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        try:
            with suppress(ConnectionError):
                while data := await reader.read(CHUNK_BYTES):
                    await self._whole.wait()
                    writer.write(data)
                    await writer.drain()
            await self._whole.wait()
        finally:
            for end in ends:
                end.close()


@asynccontextmanager
async def linked(target: Address) -> AsyncIterator[Link]:
    """Run a link to *target* meanwhile."""
    link = Link(target)
    async with asyncio.TaskGroup() as tasks:
        carried: set[asyncio.Task[None]] = set()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = tasks.create_task(link.carry(reader, writer))
            carried.add(task)
            task.add_done_callback(carried.discard)

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        try:
            link.address = Address(*server.sockets[0].getsockname()[:2])
            yield link
        finally:
            server.close()
            for task in carried:
                task.cancel()
