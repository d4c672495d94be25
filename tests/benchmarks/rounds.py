"""Ways compared in many short rounds, so that what else the machine does falls upon all alike.

A round measures each way once, one right after the other, and each round begins with another. Ways
are compared within a round; of all rounds the median counts, so that neither a slow drift nor the
few rounds that something disturbed decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from tests.benchmarks.figures import grouped, percentage, range_of, thousandths
from tests.benchmarks.ways import Way
from tests.support.fast_load import Job, Loader, Outcome

DIFFERENT = 2000
"""Requests that are prepared where there are several models, however few: as many for each way."""

Rounds = Mapping[str, Sequence[Outcome]]
"""What came of each way, by round."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is sent in one measurement."""

    name: str
    text_bytes: int
    connections: int
    seconds: float = 0.25


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of a figure over all rounds, and the half of them around it."""

    value: float
    low: float
    high: float


async def compare(loader: Loader, shape: Shape, ways: Sequence[Way], rounds: int) -> Rounds:
    """Measure each of *ways* in each of *rounds* rounds."""
    outcomes: dict[str, list[Outcome]] = {way.name: [] for way in ways}
    for number in range(rounds):
        first = number % len(ways)
        for way in (*ways[first:], *ways[:first]):
            outcomes[way.name].append(await loader.run(_job(shape, way)))
    return outcomes


def _job(shape: Shape, way: Way) -> Job:
    return Job(
        way.address,
        shape.connections,
        shape.seconds,
        shape.text_bytes,
        models=way.models,
        different=DIFFERENT if len(way.models) > 1 else 1,
        pids=list(way.pids),
        headers=way.headers,
    )


def middle_of(
    figure: Callable[[Outcome, Outcome], float], of: Sequence[Outcome], beside: Sequence[Outcome]
) -> Middle:
    """Return the middle of *figure* of each of *of* and the one of *beside* in the same round."""
    values = [figure(one, other) for one, other in zip(of, beside, strict=True)]
    if len(values) == 1:
        return Middle(*values * 3)
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Middle(median(values), low, high)


def throughput(one: Outcome, other: Outcome) -> float:
    """Return the throughput of *one* in those of *other*."""
    return one.per_second / other.per_second if other.per_second else 0.0


def added_p50_s(one: Outcome, other: Outcome) -> float:
    return one.p50_s - other.p50_s


def cpu_of(outcomes: Sequence[Outcome], process: int) -> float | None:
    """Return the seconds for a request of the process *process* of the way, None if it has none."""
    spent = [one.cpu_s[process] / one.requests for one in outcomes if len(one.cpu_s) > process]
    return median(spent) if spent else None


def busy(outcomes: Sequence[Outcome]) -> float | None:
    """Return which share of one core the first process of the way took, None if it has none."""
    shares = [one.cpu_s[0] / one.seconds for one in outcomes if one.cpu_s]
    return median(shares) if shares else None


def failures(outcomes: Sequence[Outcome]) -> int:
    return sum(one.failures for one in outcomes)


def compared(outcomes: Sequence[Outcome], base: Sequence[Outcome]) -> tuple[str, ...]:
    """Return the cells that tell of *outcomes*, beside *base* where they compare."""
    ratio = middle_of(throughput, outcomes, base)
    return (
        grouped(median(one.per_second for one in outcomes)),
        percentage(ratio.value),
        range_of(percentage(ratio.low), percentage(ratio.high)),
        thousandths(cpu_of(outcomes, 0)),
        grouped(failures(outcomes)),
    )
