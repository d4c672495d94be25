"""Connections that have not shown that they may ask: few of them, and not for long.

Without that, whoever reaches the address could hold connections until no file is left to open, and
no Envoy could connect any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from typing_extensions import override

MAX_NEWCOMERS = 256
PATIENCE_S = 10.0
"""How long a connection may be silent, or go on asking in vain."""


class Newcomers:
    """The connections that are not let in yet; the oldest gives way when there are too many.

    *on_crowded* is called for each that has to.
    """

    def __init__(
        self,
        on_crowded: Callable[[], None] = lambda: None,
        patience_s: float = PATIENCE_S,
        limit: int = MAX_NEWCOMERS,
    ) -> None:
        self._on_crowded = on_crowded
        self._patience_s = patience_s
        self._limit = limit
        self._timers: dict[asyncio.BaseTransport, asyncio.TimerHandle | None] = {}

    def watching(self, protocol: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a connection, so that it begins as a newcomer."""
        return lambda: _Watched(protocol(), self)

    def arrived(self, transport: asyncio.Transport) -> None:
        """Note a new connection; it is cut after a while unless it is let in."""
        if len(self._timers) >= self._limit:
            oldest = next(iter(self._timers))
            self.let_in(oldest)
            _abort(oldest)
            self._on_crowded()
        loop = asyncio.get_running_loop()
        self._timers[transport] = loop.call_later(self._patience_s, transport.abort)

    def probed(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that a connection asked what everybody may: it is not cut, unless it gives way."""
        if transport is not None and transport in self._timers:
            self.let_in(transport)
            self._timers[transport] = None

    def let_in(self, transport: asyncio.BaseTransport | None) -> None:
        """Note that a connection has shown that it may ask, or is gone."""
        timer = self._timers.pop(transport, None) if transport is not None else None
        if timer is not None:
            timer.cancel()


def _abort(transport: asyncio.BaseTransport) -> None:
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class _Watched(asyncio.Protocol):
    """Passes all on to the protocol of the server, and tells of arrival and departure."""

    def __init__(self, protocol: asyncio.Protocol, newcomers: Newcomers) -> None:
        self._newcomers = newcomers
        self._transport: asyncio.BaseTransport | None = None
        self._to = protocol

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if isinstance(transport, asyncio.Transport):
            self._newcomers.arrived(transport)
        self._to.connection_made(transport)

    @override
    def data_received(self, data: bytes) -> None:
        self._to.data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return self._to.eof_received()

    @override
    def pause_writing(self) -> None:
        self._to.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._to.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._newcomers.let_in(self._transport)
        self._to.connection_lost(exc)
