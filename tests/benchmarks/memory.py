"""How much memory Envoy and the companion hold for many large uploads at once, and afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from tests.benchmarks.figures import grouped
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import Upstreams, running_stack
from tests.support.fast_load import Job, Loader, fast_load_process
from tests.support.memory import highest_mib, resident_mib

METHOD = """\
{connections} connections upload bodies of 1 MB at the same time, each one after the other, through
one Envoy with one worker, for {seconds} s; then they are closed; {rounds} rounds of that. Resident
memory of each process before the first round, a second after the first and the last, the lowest of
these in each half of the rounds (which a leak would raise), and the *most* that it ever was."""

MODES = ("native", "ext_proc")
JOB = Job(address="", connections=500, seconds=2.0, text_bytes=1_000_000, warm_up_s=0)
ROUNDS = 10
REST_S = 1.0
MAX_GROWTH = 1.2
"""From one half of the rounds to the other."""


@dataclass(frozen=True, slots=True)
class Held:
    """What one process held, in MiB."""

    mode: str
    process: str
    before: float
    after: Sequence[float]
    """By round."""
    most: float

    @property
    def floors(self) -> tuple[float, float]:
        """The lowest of each half of the rounds."""
        half = len(self.after) // 2
        return min(self.after[:half]), min(self.after[half:])


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What was sent in one mode, and what was held for it."""

    uploads: int
    failures: int
    held: Sequence[Held]


async def run(*, quick: bool) -> Section:
    job, rounds = JOB, ROUNDS
    if quick:
        job, rounds = replace(JOB, connections=20, seconds=0.1), 2
    uploaded = [await _upload(mode, job, rounds) for mode in MODES]
    return Section(
        title="Memory for many large uploads",
        method=METHOD.format(connections=job.connections, rounds=rounds, seconds=job.seconds),
        tables=[_table(uploaded)],
        targets=list(_targets(uploaded, job.connections)),
        remarks=[
            "Envoy holds a body until it knows its model, so the most is about the number of "
            "uploads at once times their size; `max_body` and the number of connections bound it. "
            "The companion takes no more at once than its own bound allows; the rest waits.",
            "What is kept afterwards is what the allocators of both hold for the next bodies; it "
            "goes up and down.",
        ],
    )


async def _upload(mode: str, job: Job, rounds: int) -> Uploaded:
    def text(upstreams: Upstreams) -> str:
        sections = {
            "pools": [f"  probe: {{endpoints: [{upstreams.a}]}}"],
            "models": ["  probe: {pool: probe}"],
        }
        return registry(sections, listen=upstreams.gateway, mode=mode)

    async with AsyncExitStack() as parts:
        stack = await parts.enter_async_context(running_stack(text))
        loader = await parts.enter_async_context(fast_load_process())
        pids = {"Envoy": stack.envoy.process.pid}
        if mode == "ext_proc":
            pids["companion"] = stack.companion.process.pid
        return await _measured(mode, replace(job, address=stack.gateway), rounds, loader, pids)


async def _measured(
    mode: str, job: Job, rounds: int, loader: Loader, pids: dict[str, int]
) -> Uploaded:
    before = {name: resident_mib(pid) for name, pid in pids.items()}
    after: dict[str, list[float]] = {name: [] for name in pids}
    uploads = failures = 0
    for _ in range(rounds):
        came = await loader.run(job)
        uploads += came.requests
        failures += came.failures
        await asyncio.sleep(REST_S)
        for name, pid in pids.items():
            after[name].append(resident_mib(pid))
    held = [
        Held(mode, name, before[name], after[name], highest_mib(pid)) for name, pid in pids.items()
    ]
    return Uploaded(uploads, failures, held)


def _table(uploaded: Sequence[Uploaded]) -> Table:
    header = (
        *("mode", "process", "before, MiB", "after the first", "after the last"),
        *("lowest of the first half", "of the second half", "most", "uploads", "failed"),
    )
    rows = [
        (
            *(held.mode, held.process),
            *map(grouped, (held.before, held.after[0], held.after[-1], *held.floors)),
            *map(grouped, (held.most, one.uploads, one.failures)),
        )
        for one in uploaded
        for held in one.held
    ]
    return Table(header, rows)


def _targets(uploaded: Sequence[Uploaded], connections: int) -> Iterator[Target]:
    for one in uploaded:
        for held in one.held:
            first, second = held.floors
            yield Target(
                f"{held.mode}, {connections} uploads of 1 MB at once: lowest memory of "
                f"{held.process} in the second half of the rounds ≤ {MAX_GROWTH} of the first",
                f"{second / first:.2f} ({grouped(first)} MiB, {grouped(second)} MiB)",
                second / first <= MAX_GROWTH,
            )
