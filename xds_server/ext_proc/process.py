"""The companion as one process or several, from start to the signal that ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xds_server.ext_proc.listen import listening, parse_listen_address
from xds_server.ext_proc.loop import run
from xds_server.ext_proc.parent import Parent
from xds_server.ext_proc.server import CompanionOptions, listening_for_web, serve_companion
from xds_server.ext_proc.worker import SIGNALS
from xds_server.garbage import spare_what_lives
from xds_server.open_files import allow_open_files

OPEN_FILES = 8192
"""More than one process may have connections; many systems allow 1,024 unless asked."""


class ForcedError(Exception):
    """A second signal ended what the first had asked to end in order, or an end took too long."""


def run_companion(address: str, ready: Callable[[str], None], options: CompanionOptions) -> None:
    """Serve on *address* by this process until SIGINT or SIGTERM; a second one ends it at once.

    Raises ForcedError after a second one, and what serve_companion raises.
    """
    allow_open_files(OPEN_FILES)

    def started(bound: str) -> None:
        spare_what_lives()  # else a search among the modules holds requests up now and then
        ready(bound)

    try:
        run(_until_signals(address, started, options))
    except asyncio.CancelledError:
        raise ForcedError("stopped at once by a second signal") from None


def run_workers(
    count: int, address: str, ready: Callable[[str], None], options: CompanionOptions
) -> None:
    """Serve on *address* by *count* processes that this one feeds, until SIGINT or SIGTERM.

    A worker that dies is started again, later each time if it dies soon. Raises ValueError for a
    malformed address, ListenError for one that cannot be used, and ForcedError if a worker had to
    be killed at the end.
    """
    allow_open_files(OPEN_FILES)
    with (
        listening(parse_listen_address(address), take_over=options.take_over) as listener,
        listening_for_web(options.metrics_address) as web_listener,
    ):
        spare_what_lives()  # the workers share what they never write to
        parent = Parent(count, listener, web_listener, options)
        parent.run(lambda: ready(str(listener.address)))
    if parent.was_forced:
        raise ForcedError("stopped without waiting for all calls in flight")


async def _until_signals(
    address: str, ready: Callable[[str], None], options: CompanionOptions
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    serving = loop.create_task(serve_companion(address, ready, stop, options))

    def cut_short() -> None:
        """Cancel whatever an orderly end waits for, until there is nothing left."""
        if serving.cancel():
            loop.call_soon(cut_short)

    def on_signal() -> None:
        if stop.is_set():
            cut_short()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    await serving
