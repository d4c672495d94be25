"""All connections of one process: what they share, how they are read and written, and their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import structlog
from typing_extensions import override

from xds_server.ext_proc.health import Health, Peer
from xds_server.ext_proc.ledger import Column
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.service import CompanionService
from xds_server.ext_proc.wire.budget import Budget
from xds_server.ext_proc.wire.connection import Connection
from xds_server.ext_proc.wire.limits import Limits
from xds_server.line_budget import LineBudget

STALLED_AFTER_S = 5.0

log = structlog.get_logger()


class Connections:
    """What all connections of one process share, and their end."""

    def __init__(self, metrics: Metrics, limits: Limits, health: Health | None = None) -> None:
        self.health = health or Health(metrics.row)
        """What `Health/Check` says."""
        self._metrics = metrics
        self._limits = limits
        room = max(limits.buffered_bytes, limits.max_message_bytes)
        self._budget = Budget(room, limits.first_bytes)
        self._lines = LineBudget()
        self._open: set[_Protocol] = set()
        self._changed = asyncio.Event()
        self._draining = False
        self._watch: asyncio.TimerHandle | None = None

    def protocol(self) -> asyncio.Protocol:
        """Return what handles a new connection: a factory for asyncio's servers."""
        return _Protocol(self, self.health.peer())

    async def drain(self, grace_s: float) -> None:
        """Let calls in flight be answered and the peers go; after *grace_s* cut what is left.

        No connection is to be accepted any more; one that comes all the same is drained as well.
        """
        self.health.serving = False
        self._draining = True
        for protocol in tuple(self._open):
            protocol.drain()
        try:
            async with asyncio.timeout(grace_s):
                await self._all_closed()
        except TimeoutError:
            log.warning("ext_proc.connections.cut", connections=len(self._open))
            for protocol in tuple(self._open):
                protocol.abort()
            await self._all_closed()

    def opened(self, protocol: _Protocol) -> bool:
        """Take *protocol* in; False if there are too many."""
        self._metrics.connection_opened()
        if len(self._open) >= self._limits.max_connections:
            if (left_out := self._lines.take("refused")) is not None:
                open_ = len(self._open)
                log.warning("ext_proc.connection.refused", connections=open_, left_out=left_out)
            return False
        self._open.add(protocol)
        if self._draining:
            protocol.drain()
        self._look_for_stalled()
        return True

    def closed(self, protocol: _Protocol) -> None:
        """Let *protocol* go."""
        failure = protocol.connection.failure
        self._metrics.connection_closed(failed=failure is not None)
        if failure is not None and (left_out := self._lines.take("failed")) is not None:
            words = str(failure)
            log.warning("ext_proc.connection.failed", error_message=words, left_out=left_out)
        self._open.discard(protocol)
        self._changed.set()
        if not self._open and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def count(self) -> None:
        """Bring the metrics up to date that tell how much there is at the moment."""
        row = self._metrics.row
        row[Column.STREAMS] = sum(protocol.connection.open_streams for protocol in self._open)
        row[Column.BUFFERED_BYTES] = self._budget.size - self._budget.free
        row[Column.BUFFER_LIMIT_BYTES] = self._budget.size
        row[Column.WAITING_CALLS] = self._budget.waiting

    def connection(self, peer: Peer, wants_write: Callable[[], None]) -> Connection:
        """Return the state of a new connection, whose peer is *peer*."""
        service = CompanionService(self._metrics, self._lines, peer.is_serving)
        clock = asyncio.get_running_loop().time
        return Connection(service, self._limits, self._budget, clock, wants_write)

    async def _all_closed(self) -> None:
        while self._open:
            self._changed.clear()
            await self._changed.wait()

    def _look_for_stalled(self) -> None:
        if self._watch is None:
            loop = asyncio.get_running_loop()
            self._watch = loop.call_later(STALLED_AFTER_S, self._end_stalled)

    def _end_stalled(self) -> None:
        self._watch = None
        self._budget.end_stalled()
        if self._budget.refused:
            log.warning("ext_proc.calls.crowded_out", calls=self._budget.refused)
            self._budget.refused = 0
        if self._open:
            self._look_for_stalled()


class _Protocol(asyncio.Protocol):
    """One connection between its transport and its state.

    A peer that does not read what it gets is not read either, until it does.
    """

    def __init__(self, connections: Connections, peer: Peer) -> None:
        self.connection = connections.connection(peer, self._flush)
        self._connections = connections
        self._peer = peer
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self.connection.start())
        if not self._connections.opened(self):
            self._transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        connection = self.connection
        out = connection.receive(data)
        transport = self._transport
        if transport is None:
            return
        if out:
            transport.write(out)
        if connection.over:
            self._end(transport)

    @override
    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._peer.gone()
        self.connection.lost()
        self._connections.closed(self)

    def drain(self) -> None:
        """Have the peer open no more calls, and go when those that it has are answered."""
        self.connection.drain()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(self.connection.take())
            if self.connection.over:
                self._end(self._transport)

    def _end(self, transport: asyncio.Transport) -> None:
        if self.connection.failure is None and transport.can_write_eof():
            # Not closed at once: with bytes of the peer unread, that could lose our last ones.
            transport.write_eof()
        else:
            transport.close()
