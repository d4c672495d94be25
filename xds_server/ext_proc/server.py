"""What one process of the companion serves, and its orderly end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog

from xds_server.address import Address
from xds_server.ext_proc.connections import Connections
from xds_server.ext_proc.exposition import exposition
from xds_server.ext_proc.health import Health, is_told, is_watched
from xds_server.ext_proc.intake import Intake
from xds_server.ext_proc.ledger import Column, Ledger
from xds_server.ext_proc.listen import Listener, listening, parse_listen_address
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.web import web_intake
from xds_server.ext_proc.wire.limits import MIB, Limits

STREAMS_OF_A_WORKER = 4
"""Calls that an Envoy opens on a connection before it takes a further one, which may lead to
another worker. More would leave workers idle under load; fewer would cost connections."""

TOLD_S = 0.1
"""From NOT_SERVING until an Envoy has all of its threads go elsewhere, with much to spare."""

_BEAT_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CompanionOptions:
    """How a companion serves, and how it ends."""

    max_body_bytes: int = 64 * MIB
    grace_s: float = 5.0
    """How long calls in flight may take after a stop."""
    drain_s: float = 2.0
    """How long a stop may wait until all who ask have heard NOT_SERVING."""
    metrics_address: Address | None = None
    take_over: bool = False
    """Whether the Unix socket of a living companion is taken."""


class Server:
    """One process: the calls of Envoys, the web interface, and the row of the ledger for both."""

    def __init__(
        self, ledger: Ledger, index: int, limits: Limits, on_told: Callable[[], None]
    ) -> None:
        self.row = ledger.rows[index]
        self.health = Health(self.row, on_told)
        metrics = Metrics(self.row)
        self.connections = Connections(metrics, limits, self.health)
        self.calls = Intake(self.connections.protocol, metrics.connection_lost)
        self._parent = os.getppid() if len(ledger.rows) > 1 else None
        self._ledger = ledger
        self._beat_handle: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Intake]:
        """Keep the row up to date during the block; yields what takes the web's connections."""
        self.row[Column.PID] = os.getpid()
        self._beat()
        try:
            async with web_intake(self._exposition, lambda: self.health.serving) as web:
                yield web
        finally:
            if self._beat_handle is not None:
                self._beat_handle.cancel()

    def _beat(self) -> None:
        self.row[Column.BEAT] += 1
        self.connections.count()
        self._beat_handle = asyncio.get_running_loop().call_later(_BEAT_S, self._beat)

    def _exposition(self) -> bytes:
        self.connections.count()
        return exposition(self._ledger, self._parent)


async def serve_companion(
    address: str,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
    options: CompanionOptions | None = None,
) -> None:
    """Serve on *address* (`unix:/path` or `host:port`) until *stop* is set or we are cancelled.

    *ready* is called once with the address, in which port 0 is replaced by the port chosen. After
    *stop* those who ask for our health hear NOT_SERVING while everything is served as before, for
    up to `drain_s`, unless the socket was taken over. Then the socket goes, and calls in flight get
    `grace_s` to finish. Cancelling leaves the first part out.

    Raises ValueError for a malformed address, ListenError for one that cannot be used.
    """
    options = options or CompanionOptions()
    ledger, told = Ledger(), asyncio.Event()
    with (
        listening(parse_listen_address(address), take_over=options.take_over) as listener,
        listening_for_web(options.metrics_address) as web_listener,
    ):
        server = Server(ledger, 0, Limits(max_body_bytes=options.max_body_bytes), told.set)
        async with server.running() as web:
            if web_listener is not None:
                web.listen(web_listener)
            server.calls.listen(listener)
            listener.publish()
            ready(str(listener.address))
            try:
                await (stop or asyncio.Event()).wait()
                if not listener.is_taken_over():
                    server.health.serving = False
                    await _all_told(ledger, told, options.drain_s)
            finally:
                await server.calls.stop()
                await server.connections.drain(options.grace_s)
                await web.stop()


@contextmanager
def listening_for_web(address: Address | None) -> Iterator[Listener | None]:
    """Listen on *address* for the web interface, if there is to be one, or raise ListenError."""
    if address is None:
        yield None
        return
    with listening(address) as listener:
        log.info("ext_proc.metrics.ready", address=str(listener.address))
        yield listener


async def _all_told(ledger: Ledger, told: asyncio.Event, within_s: float) -> None:
    """Wait until all who ask for our health have heard that we stop, but not for longer."""
    if not within_s or not is_watched(ledger):
        return
    try:
        async with asyncio.timeout(within_s):
            while not is_told(ledger):
                told.clear()
                await told.wait()
            await asyncio.sleep(TOLD_S)
    except TimeoutError:
        log.warning("ext_proc.stop.unheard", waited_s=within_s)
