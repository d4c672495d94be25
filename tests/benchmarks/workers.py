"""What a second worker of the companion gives."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from tests.benchmarks import rounds
from tests.benchmarks.figures import grouped, milliseconds, percentage, range_of, thousandths
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.rounds import Rounds, Shape, compare, middle_of
from tests.benchmarks.stack import Stack, running_stack
from tests.benchmarks.ways import Way
from tests.support.ext_proc_load import load_by_process
from tests.support.ext_proc_process import RunningCompanion, companion_process
from tests.support.fast_load import fast_load_process
from tests.support.processor import cpu_s

METHOD = """\
First the companion alone: calls as Envoy makes them, 4 at once on each of {connections} connections
to its Unix socket, from one process that sends prepared frames and takes about 6 µs of the
processor for a call. *Workers busy* is the share of one core that all workers took together: what
the caller takes is not there for them. Then through one Envoy with one worker, as in *What a
request costs*, 32 connections and 1 KB. {rounds} rounds, with one worker and with two in turn;
*CPU* in seconds for 1,000 requests, all workers together. There were {cores} cores."""

BODIES = {"1 KB": (1000, 40_000), "20 KB": (20_000, 10_000)}
"""Bytes of a body, and how many calls are made in one measurement."""
CONNECTIONS = 64
ROUNDS = 9
COUNTS = (1, 2)
SHAPE = Shape("1 KB", 900, 32)
LEAST = 1.3


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of the calls of one measurement."""

    per_second: float
    cpu_s: float
    """For a call, of all workers."""
    busy: float
    own_cpu_s: float


Alone = Mapping[int, Sequence[Measured]]


async def run(*, quick: bool) -> Section:
    count, shape, bodies = ROUNDS, SHAPE, BODIES
    if quick:
        count, shape, bodies = 2, replace(SHAPE, seconds=0.05), {"1 KB": (1000, 2000)}
    alone = {name: await _alone(*body, count) for name, body in bodies.items()}
    through = await _through_envoy(shape, count)
    return Section(
        title="A second worker of the companion",
        method=METHOD.format(connections=CONNECTIONS, rounds=count, cores=os.cpu_count()),
        tables=[_table_alone(alone), _table_through(through)],
        targets=list(_targets(alone)),
        remarks=[
            "On two cores the caller, or Envoy with the load generator and the server, leave less "
            "than a core for the second worker. Through one worker of Envoy it is Envoy that "
            "limits the throughput, so a second worker of the companion gives nothing: it is for "
            "an Envoy with many workers, or for large bodies.",
        ],
    )


async def _alone(body_bytes: int, calls: int, count: int) -> Alone:
    measured: dict[int, list[Measured]] = {workers: [] for workers in COUNTS}
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-bench-")))
        companions = {
            workers: await parts.enter_async_context(
                companion_process(f"unix:{folder}/{workers}", "--workers", workers)
            )
            for workers in COUNTS
        }
        for number in range(count):
            for workers in COUNTS if number % 2 else reversed(COUNTS):
                companion = companions[workers]
                measured[workers].append(await _call(companion, body_bytes, calls))
    return measured


async def _call(companion: RunningCompanion, body_bytes: int, calls: int) -> Measured:
    pids = companion.workers() or [companion.process.pid]
    before = sum(map(cpu_s, pids))
    came = await load_by_process(
        companion.address.removeprefix("unix:"),
        calls=calls,
        body_bytes=body_bytes,
        connections=CONNECTIONS,
        at_once=4,
    )
    spent = sum(map(cpu_s, pids)) - before
    own = came.own_cpu_s / came.calls
    return Measured(came.per_second, spent / came.calls, spent / came.seconds, own)


async def _through_envoy(shape: Shape, count: int) -> Rounds:
    async with AsyncExitStack() as parts:
        ways = []
        for workers in COUNTS:
            stack = await parts.enter_async_context(_stack(workers))
            pids = stack.companion.workers() or [stack.companion.process.pid]
            ways.append(Way(str(workers), stack.gateway, [stack.envoy.process.pid, *pids]))
        loader = await parts.enter_async_context(fast_load_process())
        return await compare(loader, shape, ways, count)


@asynccontextmanager
async def _stack(workers: int) -> AsyncIterator[Stack]:
    def text(upstreams: object) -> str:
        sections = {
            "pools": [f"  probe: {{endpoints: [{upstreams.a}]}}"],
            "models": ["  probe: {pool: probe}"],
        }
        return registry(sections, listen=upstreams.gateway)

    async with running_stack(text, companion_arguments=("--workers", workers)) as stack:
        yield stack


def _ratios(alone: Alone) -> list[float]:
    """Return, by round, what two workers did in calls a second of one."""
    one, two = (alone[workers] for workers in COUNTS)
    return [b.per_second / a.per_second for a, b in zip(one, two, strict=True)]


def _table_alone(measured: dict[str, Alone]) -> Table:
    header = (
        *("body", "workers", "calls/s", "of one worker", "middle half", "workers busy"),
        *("CPU", "caller's CPU"),
    )
    rows = []
    for body, alone in measured.items():
        low, middle, high = _quarters(_ratios(alone))
        for workers, came in alone.items():
            is_two = workers == COUNTS[-1]
            rows.append(
                (
                    *(body, str(workers), grouped(median(one.per_second for one in came))),
                    f"{middle:.2f}" if is_two else "1.00",
                    range_of(f"{low:.2f}", f"{high:.2f}") if is_two else "-",
                    percentage(median(one.busy for one in came)),
                    thousandths(median(one.cpu_s for one in came)),
                    thousandths(median(one.own_cpu_s for one in came)),
                )
            )
    return Table(header, rows, "The companion alone:")


def _quarters(values: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _table_through(came: Rounds) -> Table:
    header = (
        *("workers", "requests/s", "of one worker", "middle half", "p50, ms", "Envoy busy"),
        *("Envoy CPU", "CPU", "failed"),
    )
    rows = []
    for workers, of in came.items():
        ratio = middle_of(rounds.throughput, of, came["1"])
        cpu = [rounds.cpu_of(of, 1 + index) or 0.0 for index in range(int(workers))]
        rows.append(
            (
                *(workers, grouped(median(one.per_second for one in of)), f"{ratio.value:.2f}"),
                range_of(f"{ratio.low:.2f}", f"{ratio.high:.2f}"),
                milliseconds(median(one.p50_s for one in of)),
                percentage(rounds.busy(of)),
                thousandths(rounds.cpu_of(of, 0)),
                thousandths(sum(cpu)),
                grouped(rounds.failures(of)),
            )
        )
    return Table(header, rows, "Through Envoy:")


def _targets(measured: dict[str, Alone]) -> Iterator[Target]:
    for body, alone in measured.items():
        low, middle, high = _quarters(_ratios(alone))
        yield Target(
            f"two workers, bodies of {body}: calls/s of one worker ≥ {LEAST}",
            f"{middle:.2f} (middle half {low:.2f} to {high:.2f})",
            middle >= LEAST,
        )
