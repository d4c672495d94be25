"""What routing by the model name costs a request: `ext_proc` and `native` against plain Envoy."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.figures import cpu_s, grouped, milliseconds, significant, spread
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table
from tests.benchmarks.stack import Upstreams, running_stack
from tests.support.static_envoy import static_envoy

METHOD = """\
Chat requests for one model over kept-alive connections, from a load generator in a process of its
own, through one Envoy with one worker, to a server in a process of its own that answers at once. In
turn, {rounds} times, and the median of each: **direct** (no proxy: what the load generator and the
server can do), **plain** (Envoy routes by a header that the client sends, and nothing else is set
up), **native** and **ext_proc** (Modelyard's configuration in both modes of `extraction`). *Added
p50* and *of plain* compare with plain. *CPU* is the time that Envoy, and the companion, were on a
processor, for each request; it depends less than throughput on what else wants one."""

WAYS = ("direct", "plain", "native", "ext_proc")
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """What is sent in one run."""

    name: str
    text_bytes: int
    workers: int
    requests: int


SHAPES = (
    Shape("1 KB", 900, 1, 1500),
    Shape("1 KB", 900, 32, 6000),
    Shape("100 KB", 100_000, 1, 400),
    Shape("100 KB", 100_000, 32, 800),
    Shape("1 MB", 1_000_000, 1, 60),
    Shape("1 MB", 1_000_000, 32, 128),
)


@dataclass(frozen=True, slots=True)
class Way:
    """A way to the server."""

    name: str
    address: str
    pids: Sequence[int] = ()
    """Of Envoy and of the companion, as far as they are on the way."""


@dataclass(slots=True)
class Runs:
    """The figures of one shape on one way; one entry for each run."""

    per_second: list[float] = field(default_factory=list)
    p50_s: list[float] = field(default_factory=list)
    p99_s: list[float] = field(default_factory=list)
    cpu_s: list[list[float]] = field(default_factory=list)
    """For a request, of each process on the way."""
    failures: int = 0


async def run(*, quick: bool) -> Section:
    shapes, rounds = (SHAPES[:2], 1) if quick else (SHAPES, 5)
    if quick:
        shapes = [Shape(shape.name, shape.text_bytes, shape.workers, 100) for shape in shapes]
    async with running_ways() as ways:
        results = [(shape, await _compare(shape, ways, rounds)) for shape in shapes]
    return Section(
        title="What a request costs",
        method=METHOD.format(rounds=rounds),
        tables=[_table(results)],
        remarks=[
            "On two cores everything competes for the processor: what looks like the throughput of "
            "a proxy at 32 connections is shared with the load generator, the server, and the "
            "companion. Compare within a group of rows; *direct* is the ceiling of the method.",
            "*Spread* is how far the throughput of single runs was from their median.",
        ],
    )


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


async def _compare(shape: Shape, ways: Sequence[Way], rounds: int) -> dict[str, Runs]:
    runs = {way.name: Runs() for way in ways}
    for _ in range(rounds):
        for way in ways:
            await asyncio.sleep(PAUSE_S)
            await _send(shape, way, runs[way.name])
    return runs


async def _send(shape: Shape, way: Way, runs: Runs) -> None:
    before = [cpu_s(pid) for pid in way.pids]
    summary = await _load(shape, way.address)
    spent = [cpu_s(pid) - earlier for pid, earlier in zip(way.pids, before, strict=True)]
    runs.cpu_s.append([one / shape.requests for one in spent])
    runs.per_second.append(summary["per_second"])
    runs.p50_s.append(summary["p50_ms"] / 1000)
    runs.p99_s.append(summary["p99_ms"] / 1000)
    runs.failures += summary["failures"]


async def _load(shape: Shape, address: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.load", address),
        *("--model", "probe", "--header", "x-model: probe"),
        *("--requests", str(shape.requests), "--workers", str(shape.workers)),
        *("--text-bytes", str(shape.text_bytes)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, "the load generator failed"
    return json.loads(printed)


def _table(results: list[tuple[Shape, dict[str, Runs]]]) -> Table:
    header = (
        *("body", "connections", "way", "requests/s", "of plain", "p50, ms", "added p50, ms"),
        *("p99, ms", "Envoy CPU, µs", "companion CPU, µs", "failed", "spread"),
    )
    rows = [
        (shape.name, str(shape.workers), way, *_row(runs[way], runs["plain"]))
        for shape, runs in results
        for way in WAYS
    ]
    return Table(header, rows)


def _row(runs: Runs, plain: Runs) -> tuple[str, ...]:
    return (
        grouped(median(runs.per_second)),
        f"{median(runs.per_second) / median(plain.per_second):.0%}",
        milliseconds(median(runs.p50_s)),
        milliseconds(median(runs.p50_s) - median(plain.p50_s)),
        milliseconds(median(runs.p99_s)),
        *(_microseconds(runs, process) for process in (0, 1)),
        grouped(runs.failures),
        spread(runs.per_second),
    )


def _microseconds(runs: Runs, process: int) -> str:
    spent = [one[process] for one in runs.cpu_s if len(one) > process]
    return significant(median(spent) * 1e6) if spent else "-"
