"""How long after a save the first request is answered by the new pool, and where the time goes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.figures import grouped, milliseconds, percentile
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import Stack, Upstreams, running_stack
from tests.support.load import Load, Sample, chat_request, continuous_load
from tests.support.processor import cpu_s
from xds_server.bootstrap import Variant

METHOD = """\
One connection sends requests for one model as fast as they are answered, through a real Envoy with
one worker and the companion, to servers that answer at once. Meanwhile the file is replaced (a new
file is renamed over it), each time with that model's `pool` changed to the other one of two pools
that are in use. p50, p99 and longest: from before the first byte is written to the last byte of the
first answer by the new pool. *Noticed*: until the control plane begins to parse the new content.
*Built*: parsing, checking, building. *Applied*: from the publication to that first answer. *ACK*:
mean time from the publication until the control plane has Envoy's ACK. *CPU*: mean time that the
control plane was on a processor for an edit, which no other process can lengthen much."""

NEW_POOL = """\
The same with a pool that Envoy has never seen: each edit adds one and removes the last one. Envoy
must learn of its servers and check their health before requests may go there:"""

UNCHECKED_ABOVE = 1000

PROMISED = {100: (0.060, 0.200), 1000: (0.250, None)}
"""Models: p50 and p99 that were promised for the delta variant, in seconds."""


@dataclass(slots=True)
class Edits:
    """The times of one run, in seconds; one entry for each edit."""

    models: int
    variant: Variant
    total: list[float] = field(default_factory=list)
    noticed: list[float] = field(default_factory=list)
    built: list[float] = field(default_factory=list)
    applied: list[float] = field(default_factory=list)
    ack_s: float = 0.0
    cpu_s: float = 0.0
    requests: int = 0
    failures: int = 0


async def run(*, quick: bool) -> Section:
    plan: list[tuple[int, Variant, int]] = [(100, "delta", 100), (100, "sotw", 100)]
    plan += [(1000, "delta", 100), (1000, "sotw", 50), (10_000, "delta", 10)]
    if quick:
        plan = [(20, "delta", 4)]
    runs = [await _between_pools(models, variant, edits) for models, variant, edits in plan]
    new_pools = await _to_new_pools(20 if quick else 100, edits=2 if quick else 20)
    return Section(
        title="From saving the file to the first request answered by the new pool",
        method=METHOD,
        tables=[_table(runs), _table([new_pools], NEW_POOL)],
        targets=[target for one in runs for target in _targets(one)],
        remarks=[
            "With two cores, the request loop (client, Envoy, companion, server) takes most of the "
            "machine, and building competes with it: on its own it takes what "
            "[Building a snapshot](#building-a-snapshot) says.",
            "The pools of the file of 10,000 models have no health checks: Envoy would open a "
            "connection to each of 20,000 servers, more than it may have here.",
            "*ACK* may be longer than *applied*: Envoy routes by what it got before it says so.",
        ],
    )


async def _between_pools(models: int, variant: Variant, edits: int) -> Edits:
    def text(upstreams: Upstreams, pool: str = "probe-a") -> str:
        return _registry(models, upstreams, pool)

    async with running_stack(text, variant) as stack:
        names = ["probe-b" if edit % 2 == 0 else "probe-a" for edit in range(edits)]
        texts = [(name, text(stack.upstreams, name)) for name in names]
        return await _measure(stack, Edits(models, variant), texts)


async def _to_new_pools(models: int, edits: int) -> Edits:
    def text(upstreams: Upstreams, pool: str = "probe-new") -> str:
        server = upstreams.b if pool.endswith(tuple("02468")) else upstreams.a
        return _registry(models, upstreams, pool, f"  {pool}: {{endpoints: [{server}]}}")

    async with running_stack(text) as stack:
        names = [f"probe-{edit}" for edit in range(edits)]
        texts = [(name, text(stack.upstreams, name)) for name in names]
        return await _measure(stack, Edits(models, "delta"), texts)


def _registry(models: int, upstreams: Upstreams, pool: str, *more_pools: str) -> str:
    # Each server that is checked takes a file of Envoy's: 20,000 are more than it usually may open.
    unchecked = ", health_check: false" if models > UNCHECKED_ABOVE else ""
    others = crowd(models - 3, lambda _: (upstreams.a, upstreams.b), more=unchecked)
    others["pools"] += [
        f"  probe-a: {{endpoints: [{upstreams.a}]}}",
        f"  probe-b: {{endpoints: [{upstreams.b}]}}",
        *more_pools,
    ]
    others["models"] += [
        f"  probe: {{pool: {pool}}}",
        "  keeps-a: {pool: probe-a}",
        "  keeps-b: {pool: probe-b}",
    ]
    return registry(others, listen=upstreams.gateway)


async def _measure(stack: Stack, edits: Edits, texts: Iterable[tuple[str, str]]) -> Edits:
    plane = stack.control_plane
    spent_before_s = cpu_s(plane.serving.process.pid)
    async with _probing(stack) as load:
        for pool, text in texts:
            revision = (await plane.status())["revision"]
            loaded = len(plane.happened("registry.loaded"))
            await load.answered(20)
            saved_s = plane.save(text)
            answered_s = _unix_time_of(await load.first(_answered_by(pool)))
            await plane.converged(after=revision)
            seen = plane.happened("registry.loaded")[loaded:]
            assert len(seen) == 1, "an edit was not seen by itself"
            edits.total.append(answered_s - saved_s)
            built_s = seen[0].fields["seconds"]
            edits.built.append(built_s)
            edits.noticed.append(seen[0].at_s - built_s - saved_s)
            edits.applied.append(answered_s - seen[0].at_s)
    edits.cpu_s = (cpu_s(plane.serving.process.pid) - spent_before_s) / len(edits.total)
    edits.ack_s = await _mean_convergence_s(stack)
    edits.requests, edits.failures = load.report.requests, load.report.failures
    return edits


@asynccontextmanager
async def _probing(stack: Stack) -> AsyncIterator[Load]:
    async with continuous_load(stack.gateway, [chat_request("probe")], workers=1) as load:
        await load.first(lambda sample: sample.status == 200)
        yield load


def _answered_by(pool: str) -> Callable[[Sample], bool]:
    return lambda sample: sample.pool == pool


def _unix_time_of(sample: Sample) -> float:
    return sample.started_s + sample.latency_s - time.perf_counter() + time.time()


async def _mean_convergence_s(stack: Stack) -> float:
    total = await stack.control_plane.metric("modelyard_convergence_seconds_sum")
    count = await stack.control_plane.metric("modelyard_convergence_seconds_count")
    return total / count if count else 0.0


def _table(runs: list[Edits], caption: str = "In milliseconds; the columns after p99 are medians:"):
    header = (
        *("models", "variant", "edits", "p50", "p99", "longest"),
        *("noticed", "built", "applied", "ACK", "CPU", "requests", "failed"),
    )
    return Table(header, [_row(one) for one in runs], caption)


def _row(one: Edits) -> tuple[str, ...]:
    return (
        grouped(one.models),
        one.variant,
        grouped(len(one.total)),
        milliseconds(median(one.total)),
        milliseconds(percentile(one.total, 99)),
        milliseconds(max(one.total)),
        milliseconds(median(one.noticed)),
        milliseconds(median(one.built)),
        milliseconds(median(one.applied)),
        milliseconds(one.ack_s),
        milliseconds(one.cpu_s),
        grouped(one.requests),
        grouped(one.failures),
    )


def _targets(one: Edits) -> Iterable[Target]:
    if one.variant != "delta" or one.models not in PROMISED:
        return
    for percent, promised_s in zip((50, 99), PROMISED[one.models], strict=True):
        if promised_s is not None:
            got_s = percentile(one.total, percent)
            at_most = f"p{percent} ≤ {promised_s * 1000:.0f} ms"
            promise = f"save to first answer by the new pool, {one.models:,} models: {at_most}"
            yield Target(promise, f"{milliseconds(got_s)} ms", got_s <= promised_s)
