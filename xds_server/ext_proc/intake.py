"""From sockets that were accepted to connections of this process's event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

from xds_server.ext_proc.listen import Listener

NO_ROOM_PAUSE_S = 1.0

log = structlog.get_logger()


class Intake:
    """Gives sockets to protocols that *factory* makes, and accepts them if need be.

    *on_lost* is called for each that no protocol could have.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._factory = factory
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._pause: asyncio.TimerHandle | None = None

    def take(self, connection: socket.socket) -> None:
        """Serve the socket *connection*, which is ours from now on."""
        task = self._loop.create_task(self._take(connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def taken(self) -> None:
        """Wait until all sockets that were given are connections."""
        while self._taking:
            await asyncio.wait(self._taking)

    def listen(self, listener: Listener) -> None:
        """Accept what comes in at *listener*, until told to stop."""
        self._listener = listener
        self._loop.add_reader(listener.socket, self._accept)

    async def stop(self) -> None:
        """Let nobody find the listener any more, and accept those who have found it."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(listener.socket)
        listener.leave()
        try:
            for connection in listener.accepted():
                self.take(connection)
        except OSError as error:
            log.error("ext_proc.accept.failed", error_message=str(error))  # noqa: TRY400
        await self.taken()
        listener.close()

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            for connection in self._listener.accepted():
                self.take(connection)
        except OSError as error:
            # Nearly always too many open files: who waits is served when there are fewer.
            log.error("ext_proc.accept.failed", error_message=str(error))  # noqa: TRY400
            self._loop.remove_reader(self._listener.socket)
            self._pause = self._loop.call_later(NO_ROOM_PAUSE_S, self.listen, self._listener)

    async def _take(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError as error:
            connection.close()
            self._on_lost()
            log.warning("ext_proc.connection.lost", error_message=str(error))
