"""The companion as one process or several, from start to the signal that ends it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess

from xds_server.address import Address
from xds_server.ext_proc.listen import ListenError, bound_socket, claim, explained
from xds_server.ext_proc.loop import run
from xds_server.ext_proc.server import CompanionOptions, serve_companion
from xds_server.garbage import spare_what_lives

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class WorkerError(Exception):
    """A worker process ended by itself; the others were stopped."""


def run_companion(
    address: str,
    ready: Callable[[str], None],
    options: CompanionOptions,
    lifeline: int | None = None,
) -> None:
    """Serve on *address* until SIGINT or SIGTERM, or until the pipe *lifeline* is closed.

    Raises what serve_companion raises.
    """

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop.set)
        if lifeline is not None:
            loop.add_reader(lifeline, stop.set)
        await serve_companion(address, started, stop, options)

    def started(bound: str) -> None:
        spare_what_lives()  # else a search among the modules holds requests up now and then
        ready(bound)

    run(serve())


def run_workers(
    count: int, address: Address, ready: Callable[[str], None], options: CompanionOptions
) -> None:
    """Serve on *address* by *count* processes that share its port, until SIGINT or SIGTERM.

    The kernel spreads connections, not requests, over the processes. Worker i serves its metrics
    on the port of `metrics_address` plus i. Raises ListenError, and WorkerError if a worker ends
    unasked: whoever runs us is to start all of it again.
    """
    claim(address)
    with explained(address):
        # Holds the port for us, and chooses it if it is 0. It never listens, so gets no connection.
        reserved = bound_socket(address, shared=True)
    with reserved:
        chosen = Address(address.host, reserved.getsockname()[1])
        _Workers(count, str(chosen), options).run(lambda: ready(str(chosen)))


class _Workers:
    """The processes and the two pipes to them.

    Forked, because nothing of gRPC or asyncio runs in the parent: they start at once and inherit
    the logging. The lifeline ends them when the parent closes it, or dies in whatever way.
    """

    def __init__(self, count: int, address: str, options: CompanionOptions) -> None:
        self._lifeline, self._lifeline_held = os.pipe()
        self._ready, self._ready_told = os.pipe()
        self._stopping = False
        context = multiprocessing.get_context("fork")
        self._processes: list[ForkProcess] = []
        for index in range(count):
            target = (address, _worker_options(options, index))
            self._processes.append(context.Process(target=self._work, args=target))

    def run(self, ready: Callable[[], None]) -> None:
        """Start all, call *ready* once all are ready, and return when they have stopped."""
        for process in self._processes:
            process.start()
        for number in _SIGNALS:
            signal.signal(number, lambda *_: self._stop())
        if self._all_ready():
            ready()
        wait([process.sentinel for process in self._processes])
        asked = self._stopping
        self._stop()
        for process in self._processes:
            process.join()
        if not asked or any(process.exitcode for process in self._processes):
            codes = ", ".join(str(process.exitcode) for process in self._processes)
            raise WorkerError(f"a worker ended; exit codes of all: {codes}")

    def _work(self, address: str, options: CompanionOptions) -> None:
        """Be a worker."""
        os.close(self._lifeline_held)
        try:
            run_companion(address, self._tell_ready, options, self._lifeline)
        except ListenError as error:
            sys.stderr.write(f"Error: {error}\n")
            sys.exit(1)

    def _tell_ready(self, _address: str) -> None:
        os.write(self._ready_told, b".")

    def _all_ready(self) -> bool:
        """Wait until every worker is ready; False if one ended instead."""
        missing = len(self._processes)
        sentinels = [process.sentinel for process in self._processes]
        while missing:
            if self._ready not in wait([self._ready, *sentinels]):
                return False
            missing -= len(os.read(self._ready, missing))
        return True

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            with suppress(OSError):
                os.close(self._lifeline_held)


def _worker_options(options: CompanionOptions, index: int) -> CompanionOptions:
    metrics = options.metrics_address
    if metrics is not None and metrics.port:
        metrics = Address(metrics.host, metrics.port + index)
    return replace(options, metrics_address=metrics, share_port=True)
