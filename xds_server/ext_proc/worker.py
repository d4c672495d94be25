"""A worker: serves the connections that its parent hands to it, until it is told to leave.

They talk over a pair of Unix sockets that keeps messages apart. Its end is the parent's: a worker
does not outlive it.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import suppress

import structlog

from xds_server.ext_proc.intake import Intake
from xds_server.ext_proc.ledger import Column, Ledger
from xds_server.ext_proc.loop import run
from xds_server.ext_proc.server import STREAMS_OF_A_WORKER, CompanionOptions, Server
from xds_server.ext_proc.wire.limits import Limits

log = structlog.get_logger()

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Those that ask a companion to stop."""

# What the parent says, a message each; the first two come with the socket of a connection.
CALLS = b"c"
WEB = b"w"
NOT_SERVING = b"n"
"""`Health/Check` is to answer that from now on."""
LEAVE = b"l"
"""End when the calls in flight are answered."""

# What a worker says.
READY = b"r"
TAKEN = b"k"
"""Look at the ledger: connections were taken. Their number is not counted by these words, which get
lost when the parent has no room for more of them, or are left unread when the worker dies."""
TOLD = b"t"
"""A peer has heard NOT_SERVING, or left."""


def work(control: socket.socket, ledger: Ledger, index: int, options: CompanionOptions) -> None:
    """Be worker *index*, told over *control* what to do."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a group gets them as a whole, but the parent acts
    control.setblocking(False)
    run(_work(control, ledger, index, options))


async def _work(
    control: socket.socket, ledger: Ledger, index: int, options: CompanionOptions
) -> None:
    limits = Limits(options.max_body_bytes, advertised_streams=STREAMS_OF_A_WORKER)
    server = Server(ledger, index, limits, lambda: _say(control, TOLD))
    loop = asyncio.get_running_loop()
    async with server.running() as web:
        ear = _Ear(control, server, web)
        loop.add_reader(control, ear.hear)
        _say(control, READY)
        await ear.leave.wait()
        await server.calls.taken()
        await server.connections.drain(options.grace_s)
        loop.remove_reader(control)


class _Ear:
    """Hears what the parent says, and has it done."""

    def __init__(self, control: socket.socket, server: Server, web: Intake) -> None:
        self.leave = asyncio.Event()
        self._control = control
        self._server = server
        self._intakes = {CALLS: server.calls, WEB: web}

    def hear(self) -> None:
        """Do all that was said by now."""
        try:
            while True:
                word, files, _, _ = socket.recv_fds(self._control, 1, 1)
                self._obey(word, files)
                if not word:
                    return
        except BlockingIOError:
            return
        except ConnectionResetError:
            self._obey(b"", [])

    def _obey(self, word: bytes, files: list[int]) -> None:
        if word in self._intakes:
            self._server.row[Column.CONNECTIONS_TAKEN] += 1
            _say(self._control, TAKEN)
            if files:
                self._intakes[word].take(socket.socket(fileno=files[0]))
            else:
                log.error("ext_proc.connection.lost", error_message="too many open files")
        elif word == NOT_SERVING:
            self._server.health.serving = False
        else:
            self.leave.set()
            if not word:  # the parent has died
                asyncio.get_running_loop().remove_reader(self._control)


def _say(control: socket.socket, word: bytes) -> None:
    with suppress(OSError):  # the parent is gone, which we hear as well
        control.send(word)
