"""What an edit costs the control plane when many Envoys are connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.ads_listener import AdsListener, listener
from tests.benchmarks.figures import grouped, milliseconds
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table
from tests.benchmarks.stack import ControlPlane, control_plane
from tests.support.processor import cpu_s

MODELS = 100
STREAMS = (1, 10, 100)
EDITS = 10
LOOK_AGAIN_S = 0.001
IDLE_S = 0.1
IDLE_SHARE = 0.03

METHOD = f"""\
Delta clients, all in one process beside the control plane, which ask for what an Envoy asks for and
accept everything; a file of {MODELS} models of which each edit changes one weight. *Last*: from the
save until the last client has its one RouteConfiguration. *CPU*: what the control plane spent until
it was idle again, the building included. Medians of {EDITS} edits, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    streams: int
    last_s: float
    cpu_s: float


async def run(*, quick: bool) -> Section:
    costs = [await _cost(streams) for streams in (STREAMS[:2] if quick else STREAMS)]
    base = costs[0]
    rows = [
        (
            grouped(cost.streams),
            milliseconds(cost.last_s),
            milliseconds(cost.cpu_s),
            milliseconds((cost.cpu_s - base.cpu_s) / (cost.streams - 1)) if cost != base else "",
        )
        for cost in costs
    ]
    header = ("streams", "last", "CPU", "CPU for each further stream")
    return Section("Many Envoys", METHOD, [Table(header, rows)])


async def _cost(streams: int) -> Cost:
    async with AsyncExitStack() as parts:
        plane = await parts.enter_async_context(control_plane(_text(0)))
        address = plane.serving.xds_address
        clients = [
            await parts.enter_async_context(listener(address, "delta", f"listener-{index}"))
            for index in range(streams)
        ]
        await plane.converged(nodes=streams)
        last, spent = [], []
        for edit in range(1, EDITS + 1):
            before = await _spent_when_idle(plane)
            last.append(await _edit(plane, clients, edit))
            spent.append(await _spent_when_idle(plane) - before)
    return Cost(streams, median(last), median(spent))


async def _spent_when_idle(plane: ControlPlane) -> float:
    """Wait until the control plane has nothing to do; return its CPU time so far."""
    pid = plane.serving.process.pid
    spent_s = cpu_s(pid)
    while True:
        await asyncio.sleep(IDLE_S)
        before_s, spent_s = spent_s, cpu_s(pid)
        if spent_s - before_s < IDLE_S * IDLE_SHARE:
            return spent_s


def _text(edit: int) -> str:
    return registry(crowd(MODELS, first_weight=50 + edit))


async def _edit(plane: ControlPlane, clients: Sequence[AdsListener], edit: int) -> float:
    """Save the file and return after how long all *clients* have been told."""
    for client in clients:
        client.lap()
    started_s = time.perf_counter()
    plane.save(_text(edit))
    while not all(client.tally.responses for client in clients):  # noqa: ASYNC110 - many tasks
        await asyncio.sleep(LOOK_AGAIN_S)
    return time.perf_counter() - started_s
