"""What a fleet of many Envoys costs one control plane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.figures import grouped, milliseconds, percentile, significant
from tests.benchmarks.registries import crowd as models_of
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import ControlPlane, control_plane
from tests.support.ads_crowd import CrowdMember, Held, crowd
from tests.support.memory import highest_mib, resident_mib
from tests.support.processor import cpu_s

MODELS = 200
CLIENTS = (1, 100, 1000, 5000)
MANY = 1000
"""The number of clients for which something was promised."""
EDITS = 15
PAUSE_S = 0.5
LOOK_AGAIN_S = 0.001
STORM_LIMIT_S = 120.0
MAX_P99_S, MAX_STORM_S, MAX_MEMORY_MIB = 0.5, 5.0, 250.0
RETURNING, RETURNING_MODELS = 100, 1000

METHOD = f"""\
Delta clients in a process of their own beside the control plane, each on its own connection. They
ask for what an Envoy asks for, and accept everything. A file of {MODELS} models; each edit changes
one weight. *All at once*: from the first connection until the last client, all starting together,
has everything. *p50*, *p99*, *last*: from the save until a client has accepted its one
RouteConfiguration; medians of {EDITS} edits, in milliseconds. *CPU*: what the control plane spent
for an edit, the building included. *Memory*: resident, in MiB, after the edits, and the most it
ever was."""
RETURN_METHOD = """\
{clients} clients of {models:,} models, and the same when the control plane has been started anew:
they come back with the versions that they hold."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one number of clients; in seconds, MB and MiB."""

    clients: int
    storm_s: float
    sent_mb: float
    p50_s: float
    p99_s: float
    last_s: float
    cpu_s: float
    memory_mib: float
    highest_mib: float


async def run(*, quick: bool) -> Section:
    costs = [await _cost(count) for count in ((1, 50) if quick else CLIENTS)]
    back = await _return(10 if quick else RETURNING, 50 if quick else RETURNING_MODELS)
    header = (
        "clients", "all at once, s", "MB each", "p50", "p99", "last", "CPU", "memory", "highest"
    )  # fmt: skip
    rows = [
        (
            grouped(cost.clients),
            significant(cost.storm_s),
            significant(cost.sent_mb),
            milliseconds(cost.p50_s),
            milliseconds(cost.p99_s),
            milliseconds(cost.last_s),
            milliseconds(cost.cpu_s),
            grouped(cost.memory_mib),
            grouped(cost.highest_mib),
        )
        for cost in costs
    ]
    promised = [cost for cost in costs if cost.clients == MANY]
    return Section(
        "Many Envoys",
        METHOD,
        [Table(header, rows), back],
        [target for cost in promised for target in _targets(cost)],
    )


def _targets(cost: Cost) -> Sequence[Target]:
    many = f"{grouped(cost.clients)} clients, {MODELS} models"
    return [
        Target(
            f"{many}: an edit is accepted by 99 % within {milliseconds(MAX_P99_S)} ms",
            f"{milliseconds(cost.p99_s)} ms",
            cost.p99_s <= MAX_P99_S,
        ),
        Target(
            f"{many}: all at once within {MAX_STORM_S:g} s",
            f"{significant(cost.storm_s)} s",
            cost.storm_s <= MAX_STORM_S,
        ),
        Target(
            f"{many}: at most {MAX_MEMORY_MIB:g} MiB",
            f"{grouped(cost.memory_mib)} MiB, at most {grouped(cost.highest_mib)}",
            cost.highest_mib <= MAX_MEMORY_MIB,
        ),
    ]


async def _cost(count: int) -> Cost:
    async with AsyncExitStack() as parts:
        plane = await parts.enter_async_context(control_plane(_text(MODELS, 0)))
        pid = plane.serving.process.pid
        started_s = time.perf_counter()
        members = await _connected(plane, count, parts)
        storm_s = max(member.accepted_at_s for member in members) - started_s
        sent = median(member.tally.wire_bytes for member in members)
        await plane.converged(nodes=count)
        edits, spent = [], []
        for edit in range(1, EDITS + 1):
            before_s = cpu_s(pid)
            edits.append(await _edit(plane, members, edit))
            spent.append(cpu_s(pid) - before_s)
        return Cost(
            clients=count,
            storm_s=storm_s,
            sent_mb=sent / 1e6,
            p50_s=median(percentile(taken, 50) for taken in edits),
            p99_s=median(percentile(taken, 99) for taken in edits),
            last_s=median(max(taken) for taken in edits),
            cpu_s=median(spent),
            memory_mib=resident_mib(pid),
            highest_mib=highest_mib(pid),
        )


async def _return(clients: int, models: int) -> Table:
    """Return what clients that come back are sent, beside what they were sent at first."""
    laps = []
    held: list[Held] = []
    for _ in range(2):
        async with AsyncExitStack() as parts:
            plane = await parts.enter_async_context(control_plane(_text(models, 0)))
            started_s = time.perf_counter()
            members = await crowd(plane.serving.xds_address, clients, held)
            parts.enter_context(_closing(members))
            await plane.converged(nodes=clients)
            elapsed_s = time.perf_counter() - started_s
            laps.append((elapsed_s, [member.tally for member in members]))
            held = [member.versions for member in members]
    rows = [
        (
            title,
            significant(elapsed_s),
            grouped(sum(tally.responses for tally in tallies)),
            grouped(sum(tally.resources for tally in tallies)),
            significant(sum(tally.wire_bytes for tally in tallies) / 1e6),
        )
        for title, (elapsed_s, tallies) in zip(("first", "again"), laps, strict=True)
    ]
    header = ("connected", "until all have converged, s", "responses", "resources", "MB")
    return Table(header, rows, RETURN_METHOD.format(clients=clients, models=models))


async def _connected(plane: ControlPlane, count: int, parts: AsyncExitStack) -> list[CrowdMember]:
    """Connect *count* clients, and wait until they have all."""
    members = await crowd(plane.serving.xds_address, count)
    parts.enter_context(_closing(members))
    async with asyncio.timeout(STORM_LIMIT_S):
        await asyncio.gather(*(member.has_all.wait() for member in members))
    lost = [member.lost for member in members if member.lost]
    assert not lost, lost[0]
    return members


@contextmanager
def _closing(members: Sequence[CrowdMember]) -> Iterator[None]:
    try:
        yield
    finally:
        for member in members:
            member.close()


async def _edit(plane: ControlPlane, members: Sequence[CrowdMember], edit: int) -> list[float]:
    """Save the file; return after how long each of *members* had accepted what changed."""
    await asyncio.sleep(PAUSE_S)
    for member in members:
        member.tally.responses = 0
    started_s = time.perf_counter()
    plane.save(_text(MODELS, edit))
    while not all(member.tally.responses for member in members):  # noqa: ASYNC110 - many tasks
        await asyncio.sleep(LOOK_AGAIN_S)
    return [member.accepted_at_s - started_s for member in members]


def _text(models: int, edit: int) -> str:
    return registry(models_of(models, first_weight=50 + edit))
