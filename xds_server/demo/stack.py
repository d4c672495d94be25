"""All parts of one deployment in one process, but for Envoy, which is a real one beside it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xds_server.address import Address
from xds_server.app import ControlPlane, Ready, Settings
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.demo.envoy import Envoy, running_envoy
from xds_server.ext_proc.listen import ListenError, parse_listen_address
from xds_server.ext_proc.server import serve_companion
from xds_server.overload import connections_within, open_files_here

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_768)
START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployment that serves."""

    registry: Path
    gateway: Address
    """Where Envoy takes requests."""
    control_plane: ControlPlane
    ready: Ready
    envoy: Envoy


def free_address() -> Address:
    """Return a loopback address whose port was free a moment ago.

    It is below those that the system gives to outgoing connections: a health check could have
    taken it by the time Envoy listens there.
    """
    while True:
        address = Address(LOOPBACK, secrets.choice(PORTS))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, address.port))
            return address


@asynccontextmanager
async def running_stack(
    registry: Path, gateway: Address, folder: Path, variant: Variant = "delta"
) -> AsyncIterator[Stack]:
    """Run control plane, companion and Envoy on the file *registry*, which listens on *gateway*.

    *folder* takes sockets and logs. Raises what the parts raise: RefusedError, EnvoyError, others.
    """
    async with AsyncExitStack() as parts:
        control_plane, ready = await parts.enter_async_context(running_control_plane(registry))
        companion = UnixPath(str(folder / "ext-proc.sock"))
        await parts.enter_async_context(running_companion(companion))
        bootstrap = Bootstrap(
            node_id="envoy-1",
            node_cluster="default",
            xds=(ready.xds_address,),
            ext_proc=(companion,),
            admin=Address(LOOPBACK, 0),
            variant=variant,
            max_connections=connections_within(open_files_here()),
        )
        envoy = await parts.enter_async_context(running_envoy(render_bootstrap(bootstrap), folder))
        yield Stack(registry, gateway, control_plane, ready, envoy)


@asynccontextmanager
async def running_control_plane(
    registry: Path, xds: Address | None = None
) -> AsyncIterator[tuple[ControlPlane, Ready]]:
    """Run a control plane on the file *registry*, on free ports unless *xds* says where."""
    anywhere = Address(LOOPBACK, 0)
    control_plane = ControlPlane(Settings(registry, xds or anywhere, anywhere))
    started: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    async with _until_left(control_plane.run(started.set_result), started):
        yield control_plane, await started


@asynccontextmanager
async def running_companion(address: UnixPath) -> AsyncIterator[None]:
    """Run a companion on the Unix socket *address*.

    Raises ListenError if nobody can listen there, be it because the path is too long.
    """
    try:
        parse_listen_address(f"unix:{address.path}")
    except ValueError as error:
        raise ListenError(f"{error} (hint: TMPDIR=/tmp)") from error
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = serve_companion(f"unix:{address.path}", started.set_result)
    async with _until_left(serving, started):
        yield


@asynccontextmanager
async def _until_left(
    serving: Coroutine[None, None, None], started: asyncio.Future[Any]
) -> AsyncIterator[None]:
    """Run *serving* beside the body, which begins once *started* is set; then cancel it.

    If *serving* ends before that, its exception is raised.
    """
    task = asyncio.get_running_loop().create_task(serving)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await task
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
