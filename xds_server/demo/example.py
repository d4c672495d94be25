"""A registry that a reader may study, run as it stands: each server in it is simulated here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from snapshots.registry.loader import load_registry
from snapshots.registry.schema import Registry
from xds_server.demo import scene
from xds_server.demo.stack import Stack, free_address, running_stack
from xds_server.simulate.server import SimulatedServer, running

SETTLE_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True)
class Example:
    """A deployment of a registry, in which every address is one of this machine."""

    stack: Stack
    servers: Mapping[str, SimulatedServer]
    """By the address that stands in the reader's file."""
    session: aiohttp.ClientSession
    """Its requests go to the gateway."""

    async def edit(self, old: str, new: str) -> None:
        """Replace *old* by *new* in the file, and wait until Envoy runs it."""
        scene.edit(self.stack.registry, old, new)
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not self._is_run():  # noqa: ASYNC110 - the file, then Envoy, are waited for
                await asyncio.sleep(LOOK_AGAIN_S)

    def _is_run(self) -> bool:
        plane = self.stack.control_plane
        served = plane.publisher.served
        is_served = served is not None and served.text == self.stack.registry.read_bytes()
        return is_served and all(node.converged for node in plane.status().nodes)


@asynccontextmanager
async def running_example(
    registry: Path, files: Mapping[str, str] | None = None
) -> AsyncIterator[Example]:
    """Run the deployment that *registry* describes, with a simulated server for each endpoint.

    The first gateway's and all servers' addresses are replaced by free ones of this machine.
    *files* are put beside the registry, by name: what it refers to.
    Raises what the parts raise: RegistryError, RefusedError, EnvoyError.
    """
    text, read = _load(registry)
    async with AsyncExitStack() as parts:
        servers = {}
        for address, name, model in _servers(read):
            if address in servers:
                continue  # of another pool, too
            server = SimulatedServer(name=name, model=model)
            servers[address] = await parts.enter_async_context(running(server))
            text = text.replace(address, server.address)
        listen = next(iter(read.gateways.values())).listen
        gateway = free_address()
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-example-")))
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        copied = folder / registry.name
        copied.write_text(text.replace(str(listen), str(gateway)))
        stack = await parts.enter_async_context(running_stack(copied, gateway, folder))
        session = aiohttp.ClientSession(f"http://{gateway}")
        yield Example(stack, servers, await parts.enter_async_context(session))


def _load(registry: Path) -> tuple[str, Registry]:
    text = registry.read_text()
    return text, load_registry(text.encode(), str(registry))


def _servers(registry: Registry) -> Iterator[tuple[str, str, str]]:
    """Yield address, name and model of each server of *registry*."""
    for name, pool in registry.pools.items():
        for number, endpoint in enumerate(pool.endpoints, start=1):
            yield str(endpoint.address), f"{name}-{number}", pool.model or name
