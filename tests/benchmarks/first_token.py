"""How long the first token takes, and what each further one costs, on each way to a server."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from tests.benchmarks.figures import grouped, milliseconds, percentile, significant, spread
from tests.benchmarks.report import Section, Table
from tests.benchmarks.ways import WAYS, Way, running_ways
from tests.support.processor import cpu_s
from tests.support.token_server import token_server_process

METHOD = """\
Streams of {events} events, 2 ms apart (10 ms where there are many), from a server in a process of
its own that begins to answer at once, to a client in another, over kept-alive connections; requests
of 1 KB. The ways are those of *What a request costs*, in turn, {rounds} times, and the median of
each. *First event*: from the request until its first event is here. *Each event*: from when the
server sends one until it is here. *Of direct* and *added* compare with direct. *Envoy CPU for an
event*: how long Envoy was on a processor for these streams, less what it was for as many of one
event, for each further event. *Companion CPU* is that of a whole stream."""

EVENTS = 20
PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """How many streams are asked for, and how many at a time."""

    workers: int
    streams: int
    gap_ms: int


SHAPES = (Shape(1, 50, 2), Shape(32, 640, 10))


@dataclass(slots=True)
class Runs:
    """The figures of one shape on one way; one entry for each run."""

    first_p50_s: list[float] = field(default_factory=list)
    first_p99_s: list[float] = field(default_factory=list)
    late_p50_s: list[float] = field(default_factory=list)
    event_cpu_s: list[float] = field(default_factory=list)
    """Envoy's, for each event but the first."""
    companion_cpu_s: list[float] = field(default_factory=list)
    """For each stream."""
    failures: int = 0


async def run(*, quick: bool) -> Section:
    shapes, rounds = SHAPES, 5
    if quick:
        shapes, rounds = tuple(replace(one, streams=2 * one.workers) for one in SHAPES), 1
    async with token_server_process() as server, running_ways(server) as ways:
        results = [(shape, await _compare(shape, ways, rounds)) for shape in shapes]
    return Section(
        title="What the first token takes, and each further one",
        method=METHOD.format(rounds=rounds, events=EVENTS),
        tables=[_table(results)],
        remarks=[
            "The companion sees the request alone, so an event costs the same in both modes.",
            "At 32 streams some 3,000 events a second compete for the processors with what carries "
            "them. What the client and the server take, which are written in Python, is in every "
            "figure, also in those of *direct*.",
        ],
    )


async def _compare(shape: Shape, ways: Sequence[Way], rounds: int) -> dict[str, Runs]:
    runs = {way.name: Runs() for way in ways}
    for _ in range(rounds):
        for way in ways:
            await asyncio.sleep(PAUSE_S)
            await _measure(shape, way, runs[way.name])
    return runs


async def _measure(shape: Shape, way: Way, runs: Runs) -> None:
    _, short_cpu = await _stream(shape, way, events=1)
    streamed, cpu = await _stream(shape, way, events=EVENTS)
    runs.failures += streamed["failures"]
    runs.first_p50_s.append(median(streamed["first_s"]))
    runs.first_p99_s.append(percentile(streamed["first_s"], 99))
    runs.late_p50_s.append(median(streamed["late_s"]))
    if cpu:
        further = (EVENTS - 1) * shape.streams
        runs.event_cpu_s.append((cpu[0] - short_cpu[0]) / further)
    if len(cpu) > 1:
        runs.companion_cpu_s.append(cpu[1] / shape.streams)


async def _stream(shape: Shape, way: Way, *, events: int) -> tuple[dict[str, Any], list[float]]:
    """Return what the client saw, and how long each process of *way* was on a processor."""
    before = [cpu_s(pid) for pid in way.pids]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.token_load", way.address),
        *("--streams", str(shape.streams), "--workers", str(shape.workers)),
        *("--events", str(events), "--gap-ms", str(shape.gap_ms)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, "the load generator failed"
    spent = [cpu_s(pid) - earlier for pid, earlier in zip(way.pids, before, strict=True)]
    return json.loads(printed), spent


def _table(results: list[tuple[Shape, dict[str, Runs]]]) -> Table:
    header = (
        *("streams at once", "way", "first event p50, ms", "of direct", "added, ms", "p99, ms"),
        *("each event p50, ms", "added, ms", "Envoy CPU for an event, µs", "companion CPU, µs"),
        *("failed", "spread"),
    )
    rows = [
        (str(shape.workers), way, *_row(runs[way], runs["direct"]))
        for shape, runs in results
        for way in WAYS
    ]
    return Table(header, rows)


def _row(runs: Runs, direct: Runs) -> tuple[str, ...]:
    first_s, late_s = median(runs.first_p50_s), median(runs.late_p50_s)
    return (
        milliseconds(first_s),
        significant(first_s / median(direct.first_p50_s)),
        milliseconds(first_s - median(direct.first_p50_s)),
        milliseconds(median(runs.first_p99_s)),
        milliseconds(late_s),
        milliseconds(late_s - median(direct.late_p50_s)),
        _microseconds(runs.event_cpu_s),
        _microseconds(runs.companion_cpu_s),
        grouped(runs.failures),
        spread(runs.first_p50_s),
    )


def _microseconds(seconds: Sequence[float]) -> str:
    return significant(median(seconds) * 1e6) if seconds else "-"
