"""A whole deployment for tests: simulated servers, companion, control plane, and a real Envoy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.model_server import model_server
from xds_server.bootstrap import Variant
from xds_server.demo.stack import Stack, free_address, running_stack
from xds_server.simulate.server import SimulatedServer

SETTLE_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.002


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    json: Any
    """None if the body is not JSON."""

    @property
    def pool(self) -> str | None:
        return self.headers.get("x-gateway-pool")

    @property
    def server(self) -> str | None:
        """Which simulated server answered; None: the gateway itself."""
        return self.headers.get("x-simulate-server")

    @property
    def seen(self) -> dict[str, Any]:
        """What the server saw: server, model, path, body_sha256, body_bytes, headers."""
        return self.json["simulate"]

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


class Deployment:
    """A stack with a client of it."""

    def __init__(
        self,
        stack: Stack,
        servers: Mapping[str, SimulatedServer],
        session: aiohttp.ClientSession,
    ) -> None:
        self.stack = stack
        self.servers = servers
        self.registry = stack.registry
        self.session = session

    @property
    def url(self) -> str:
        return f"http://{self.stack.gateway}"

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request as aiohttp's *options* say and return the whole answer."""
        async with self.session.request(method, self.url + path, **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(
                response.status, headers, body, await response.json() if is_json else None
            )

    async def post(self, path: str, body: object, headers: Mapping[str, str] = {}) -> Answer:
        """Post *body* as JSON."""
        return await self.send("POST", path, json=body, headers=headers)

    async def chat(self, model: str, text: str = "Hello") -> Answer:
        """Ask *model* to chat."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return await self.post("/v1/chat/completions", body)

    async def edit(self, old: str, new: str) -> None:
        """Replace *old* in the registry file and wait until Envoy runs the result."""
        text = self.registry.read_text()
        assert old in text
        await self.write(text.replace(old, new))

    async def write(self, text: str) -> None:
        """Write the registry file and wait until Envoy runs what it says."""
        self.registry.write_text(text)
        await self.converged(text)

    async def converged(self, text: str | None = None) -> None:
        """Wait until Envoy has ACKed what the control plane serves: that of *text*, if given."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not self._is_converged(text):  # noqa: ASYNC110 - several things are awaited
                await asyncio.sleep(LOOK_AGAIN_S)

    def _is_converged(self, text: str | None) -> bool:
        served = self.stack.control_plane.publisher.served
        loaded = text is None or (served is not None and served.text == text.encode())
        nodes = self.stack.control_plane.status().nodes
        return loaded and bool(nodes) and all(node.converged for node in nodes)


@asynccontextmanager
async def deployment(
    template: str,
    servers: Mapping[str, Mapping[str, Any]] | tuple[str, ...],
    folder: Path,
    variant: Variant = "delta",
) -> AsyncIterator[Deployment]:
    """Run a deployment on the registry *template* while the body runs.

    *servers* are names, or names with options of `model_server`. In *template*, `<name>` stands
    for the address of a server and `<gateway>` for where Envoy is to listen; without a
    `<gateway>`, a gateway is put before the rest.
    """
    options = servers if isinstance(servers, Mapping) else {name: {} for name in servers}
    async with AsyncExitStack() as parts:
        running = {
            name: await parts.enter_async_context(model_server(name, **each))
            for name, each in options.items()
        }
        gateway = free_address()
        registry = folder / "registry.yaml"
        addresses = {name: server.address for name, server in running.items()}
        registry.write_text(fill(template, {"gateway": str(gateway), **addresses}))
        stack = await parts.enter_async_context(running_stack(registry, gateway, folder, variant))
        session = await parts.enter_async_context(aiohttp.ClientSession())
        deployed = Deployment(stack, running, session)
        await deployed.converged()
        yield deployed


def fill(template: str, addresses: Mapping[str, str]) -> str:
    """Return *template* with each `<name>` replaced, and with a gateway."""
    if "<gateway>" not in template:
        listen = 'gateways: {default: {listen: "<gateway>"}}'
        template = template.replace("version: 1\n", f"version: 1\n{listen}\n", 1)
    for name, address in addresses.items():
        template = template.replace(f"<{name}>", address)
    return template
