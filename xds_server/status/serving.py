"""Listening: where the status interface is served, and whether strangers can reach it there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from aiohttp import web

from xds_server.address import Address
from xds_server.listening import is_loopback, listening_socket
from xds_server.status.door import StatusAccess
from xds_server.status.newcomers import Newcomers

OPTION = "--status-address"

REQUEST_GRACE_S = 5.0
"""How long an answer may take when the control plane stops."""


class UnguardedError(Exception):
    """The address can be reached by strangers, and nothing is said to keep them out."""


def check_guarded(address: Address, access: StatusAccess) -> None:
    """Raise UnguardedError unless *address* is loopback, or *access* says what guards it.

    Raises CannotListenError if its name is unknown.
    """
    if access.token_file or access.is_open or is_loopback(OPTION, address):
        return
    raise UnguardedError(
        f"{OPTION} {address} can be reached from other machines, and tells everybody there what "
        "the file says and who the Envoys are (hint: demand a token by --status-token-file FILE; "
        "or, if something else keeps strangers away, say so by --status-open)"
    )


@asynccontextmanager
async def serving(
    app: web.Application, address: Address, newcomers: Newcomers
) -> AsyncIterator[Address]:
    """Serve *app* during the block; yields *address* with the port that was chosen.

    Raises CannotListenError.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=REQUEST_GRACE_S)
    await runner.setup()
    try:
        if runner.server is None:
            raise RuntimeError("aiohttp has set no server up")
        listener = listening_socket(OPTION, address)
        factory = newcomers.watching(runner.server)
        server = await asyncio.get_running_loop().create_server(factory, sock=listener)
        with closing(server):
            yield Address(address.host, listener.getsockname()[1])
    finally:
        await runner.cleanup()
