"""The ways to a server: nothing between, plain Envoy, and Modelyard in both modes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.registries import registry
from tests.benchmarks.stack import Upstreams, running_stack
from tests.support.static_envoy import static_envoy

WAYS = ("direct", "plain", "native", "ext_proc")


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the server."""

    name: str
    address: str
    pids: Sequence[int] = ()
    """Of the proxy and of the companion, as far as they are on the way."""
    models: Sequence[str] = ("probe",)
    """What requests ask for, by chance."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What requests carry besides."""


@asynccontextmanager
async def running_ways(server: str = "") -> AsyncIterator[Sequence[Way]]:
    """Run each of WAYS to *server*; without one, to a server that answers at once."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-bench-")))
        native = await parts.enter_async_context(
            running_stack(lambda u: _registry(u, "native", server))
        )
        server = server or native.upstreams.a
        companion = await parts.enter_async_context(
            running_stack(lambda u: _registry(u, "ext_proc", server))
        )
        plain = await parts.enter_async_context(static_envoy(_plain(server), folder))
        yield (
            Way("direct", server),
            Way("plain", plain.url.removeprefix("http://"), [plain.pid]),
            Way("native", native.gateway, [native.envoy.process.pid]),
            Way(
                "ext_proc",
                companion.gateway,
                [companion.envoy.process.pid, companion.companion.process.pid],
            ),
        )


def _registry(upstreams: Upstreams, mode: str, server: str = "") -> str:
    sections = {
        "pools": [f"  probe: {{endpoints: [{server or upstreams.a}]}}"],
        "models": ["  probe: {pool: probe}"],
    }
    return registry(sections, listen=upstreams.gateway, mode=mode)


def _plain(server: str) -> dict[str, Any]:
    """Return the smallest configuration that routes by a header."""
    by_header = {"name": "x-model", "string_match": {"exact": "probe"}}
    route = {"match": {"prefix": "/", "headers": [by_header]}, "route": {"cluster": "probe"}}
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"name": "plain", "address": _socket("127.0.0.1", 0), "filter_chains": [chain]}
    host, _, port = server.rpartition(":")
    endpoint = {"endpoint": {"address": _socket(host, int(port))}}
    assignment = {"cluster_name": "probe", "endpoints": [{"lb_endpoints": [endpoint]}]}
    cluster = {"name": "probe", "type": "STATIC", "load_assignment": assignment}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _socket(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
