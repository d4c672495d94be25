"""A whole deployment for tests: simulated servers, companion, control plane, and a real Envoy."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from yarl import URL

from tests.support.model_server import model_server
from tests.support.part import Part
from xds_server.address import Address
from xds_server.app import ControlPlane, Ready
from xds_server.bootstrap import Bootstrap, Companion, UnixPath, Variant, render_bootstrap
from xds_server.demo.envoy import Envoy, running_envoy
from xds_server.demo.stack import (
    LOOPBACK,
    free_address,
    running_companion,
    running_control_plane,
)
from xds_server.overload import connections_within, open_files_here
from xds_server.simulate.server import SimulatedServer

SETTLE_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.002

ServerOptions = Mapping[str, Mapping[str, Any]]
"""Servers by name, each with options of `model_server`."""


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
    """Parts that run, and a client of them."""

    def __init__(
        self,
        folder: Path,
        variant: Variant,
        session: aiohttp.ClientSession,
        companions: tuple[Companion, ...],
    ) -> None:
        self.folder = folder
        self.variant = variant
        self.session = session
        self.registry = folder / "registry.yaml"
        self.gateway = free_address()
        """Where Envoy takes requests."""
        self.servers: dict[str, SimulatedServer] = {}
        """Those that run."""
        self.control_plane = Part(self._run_control_plane)
        socket = UnixPath(str(folder / "ext-proc.sock"))
        self.companion = Part(lambda: running_companion(socket))
        self.envoy: Envoy
        self._companions = companions or (socket,)
        self._xds_address = free_address()
        self._server_parts: dict[str, Part[SimulatedServer]] = {}

    # As a client

    @property
    def url(self) -> str:
        return f"http://{self.gateway}"

    async def send(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request as aiohttp's *options* say and return the whole answer.

        *path* may have a query, and goes out as it is written here.
        """
        url = URL(self.url + path, encoded=True)
        async with self.session.request(method, url, **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json" and body
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, body, json.loads(body) if is_json else None)

    async def post(self, path: str, body: object, headers: Mapping[str, str] = {}) -> Answer:
        """Post *body*: bytes as they are, anything else as JSON."""
        data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
        return await self.send(
            "POST", path, data=data, headers={"content-type": "application/json", **headers}
        )

    async def chat(self, model: str, text: str = "Hello") -> Answer:
        """Ask *model* to chat."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return await self.post("/v1/chat/completions", body)

    # As an operator

    async def edit(self, old: str, new: str) -> None:
        """Replace *old* in the registry file and wait until Envoy runs the result."""
        text = self.registry.read_text()
        assert old in text
        await self.write(text.replace(old, new))

    async def write(self, template: str) -> None:
        """Write the registry file as *template* says and wait until Envoy runs that."""
        text = self.fill(template)
        self.registry.write_text(text)
        await self.converged(text)

    def fill(self, template: str) -> str:
        """Return *template* as a registry: see `deployment`."""
        template = _with_gateway(template)
        for name, server in self.servers.items():
            template = template.replace(f"<{name}>", server.address)
        return template.replace("<gateway>", str(self.gateway))

    async def converged(self, text: str | None = None) -> None:
        """Wait until Envoy has ACKed what the control plane serves: that of *text*, if given."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while not self._is_converged(text):  # noqa: ASYNC110 - several things are awaited
                await asyncio.sleep(LOOK_AGAIN_S)

    async def companions_used(self, count: int) -> None:
        """Wait until Envoy holds *count* companions for fit to be asked."""
        gauge = "cluster.modelyard-ext-proc.membership_healthy"
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while (await self.stats(gauge))[gauge] != count:  # noqa: ASYNC110 - Envoy only answers
                await asyncio.sleep(LOOK_AGAIN_S)

    async def status(self) -> Any:
        """Return what `GET /status` of the control plane answers."""
        _, ready = self.control_plane.running
        return await self._get_json(f"http://{ready.status_address}/status")

    async def admin(self, path: str) -> Any:
        """Return the JSON that Envoy's admin interface gives for *path*."""
        return await self._get_json(f"http://{self.envoy.admin_address}{path}")

    async def stats(self, pattern: str) -> dict[str, int]:
        """Return Envoy's counters and gauges whose names match the regular expression."""
        answer = await self.admin(f"/stats?format=json&filter={pattern}")
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}

    # As whoever runs the machines

    async def add_server(self, name: str, **options: Any) -> SimulatedServer:
        """Start a server with *options* of `model_server`."""
        part = self._server_parts[name] = Part(lambda: model_server(name, **options))
        self.servers[name] = await part.start()
        return self.servers[name]

    async def remove_server(self, name: str) -> None:
        """Stop a server."""
        del self.servers[name]
        await self._server_parts.pop(name).stop()

    @property
    def control_planes(self) -> tuple[Address, ...]:
        """Where Envoys find a control plane."""
        return (self._xds_address,)

    def bootstrap(
        self,
        node_id: str = "envoy-1",
        node_cluster: str = "default",
        node_metadata: Mapping[str, str] = {},
        xds: tuple[Address, ...] = (),
    ) -> str:
        """Return the bootstrap of an Envoy of this deployment, or one that is told at *xds*."""
        return render_bootstrap(
            Bootstrap(
                node_id=node_id,
                node_cluster=node_cluster,
                node_metadata=node_metadata,
                xds=xds or self.control_planes,
                ext_proc=self._companions,
                admin=Address(LOOPBACK, 0),
                variant=self.variant,
                max_connections=connections_within(open_files_here()),
            )
        )

    async def stop_servers(self) -> None:
        for name in tuple(self.servers):
            await self.remove_server(name)

    @asynccontextmanager
    async def _run_control_plane(self) -> AsyncIterator[tuple[ControlPlane, Ready]]:
        """Run a control plane where the one before it was."""
        async with running_control_plane(self.registry, self._xds_address) as started:
            yield started

    def _is_converged(self, text: str | None) -> bool:
        control_plane, _ = self.control_plane.running
        served = control_plane.publisher.served
        loaded = text is None or (served is not None and served.text == text.encode())
        nodes = control_plane.status().nodes
        return loaded and bool(nodes) and all(node.converged for node in nodes)

    async def _get_json(self, url: str) -> Any:
        async with self.session.get(url) as response:
            return await response.json(content_type=None)


@asynccontextmanager
async def deployment(  # noqa: PLR0913 - each by name
    template: str,
    servers: ServerOptions | tuple[str, ...],
    folder: Path,
    variant: Variant = "delta",
    *,
    workers: int = 1,
    companions: tuple[Companion, ...] = (),
    envoy_options: tuple[str, ...] = (),
) -> AsyncIterator[Deployment]:
    """Run a deployment on the registry *template* while the body runs; Envoy has *workers*.

    *envoy_options* are more of Envoy's command line.

    With *companions*, none is started here: it is there that whoever calls runs some.

    *servers* are names, or names with options of `model_server`. In *template*, `<name>` stands
    for the address of a server and `<gateway>` for where Envoy is to listen; without a
    `gateways`, one is put before the rest.
    """
    options: ServerOptions
    options = servers if isinstance(servers, Mapping) else {name: {} for name in servers}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        deployed = Deployment(folder, variant, session, companions)
        stack.push_async_callback(deployed.stop_servers)
        for name, each in options.items():
            await deployed.add_server(name, **each)
        deployed.registry.write_text(deployed.fill(template))
        parts = (deployed.control_plane, *(() if companions else (deployed.companion,)))
        for part in parts:
            stack.push_async_callback(part.stop)
            await part.start()
        deployed.envoy = await stack.enter_async_context(
            running_envoy(deployed.bootstrap(), folder, workers=workers, options=envoy_options)
        )
        await deployed.converged()
        yield deployed


def _with_gateway(template: str) -> str:
    """Return *template* with a gateway, if it has none."""
    if "gateways:" in template:
        return template
    listen = 'gateways: {default: {listen: "<gateway>"}}'
    return template.replace("version: 1\n", f"version: 1\n{listen}\n", 1)


def shared_deployment(template: str, servers: ServerOptions | tuple[str, ...]) -> Any:
    """Return a fixture: one `deployment` per variant for all tests of a module.

    For modules whose tests change nothing; they are marked
    `pytest.mark.asyncio(loop_scope="module")`.
    """

    @pytest_asyncio.fixture(scope="module", loop_scope="module")
    async def deployed(variant: Variant, tmp_path_factory: Any) -> AsyncIterator[Deployment]:
        folder = tmp_path_factory.mktemp("deployment")
        async with deployment(template, servers, folder, variant) as running:
            yield running

    return deployed
