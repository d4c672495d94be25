"""What routing by the model name costs a request: `ext_proc` and `native` against plain Envoy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from tests.benchmarks import rounds
from tests.benchmarks.figures import grouped, milliseconds, percentage, range_of, thousandths
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.rounds import Middle, Rounds, Shape, compare, middle_of
from tests.benchmarks.ways import WAYS, running_ways
from tests.support.fast_load import Outcome, fast_load_process

METHOD = """\
Chat requests for one model over kept-alive connections, from a load generator in a process of its
own, through one Envoy with one worker, to a server in a process of its own that answers at once:
**direct** (no proxy: what the load generator and the server can do), **plain** (Envoy routes by a
header that the client sends, and nothing else is set up), **native** and **ext_proc** (Modelyard's
configuration in both modes of `extraction`; the companion with one worker).

{rounds} rounds; a round measures every way for a quarter of a second, one right after the other,
and each round begins with another way. *Of plain* and *added p50* compare with plain in the same
round, and the median of the rounds is given: neither a slow drift of the machine nor a few
disturbed rounds move it. *Middle half* is where half of the rounds lie. *Envoy busy* is the share
of one core that Envoy took: near 100 % it is Envoy that limits the throughput, and not the load
generator. *CPU* is the time that Envoy, and the companion, were on a processor, in seconds for
1,000 requests; it depends less than throughput on what else wants one."""

SHAPES = (
    Shape("1 KB", 900, 1),
    Shape("1 KB", 900, 32),
    Shape("100 KB", 100_000, 1),
    Shape("100 KB", 100_000, 32),
    Shape("1 MB", 1_000_000, 1),
    Shape("1 MB", 1_000_000, 32),
)
ROUNDS = 15
PROMISED = {"native": (0.85, 0.1), "ext_proc": (0.40, 0.8)}
"""At 1 KB: the share of plain's throughput at 32 connections, and the added p50 in ms at one."""
SUBJECTS = {"native": "native", "ext_proc": "companion with one worker"}


async def run(*, quick: bool) -> Section:
    shapes, count = SHAPES, ROUNDS
    if quick:
        shapes, count = tuple(replace(shape, seconds=0.05) for shape in SHAPES[:2]), 2
    async with running_ways() as ways, fast_load_process() as loader:
        results = [(shape, await compare(loader, shape, ways, count)) for shape in shapes]
    return Section(
        title="What a request costs",
        method=METHOD.format(rounds=count),
        tables=[_table(results)],
        targets=list(_targets(results)),
        remarks=[
            "*Envoy busy* well below 100 % at 32 connections and 1 KB tells that others wanted the "
            "processors meanwhile; the throughput then says more of them than of Envoy. *CPU* "
            "suffers least from that.",
        ],
    )


def _table(results: Sequence[tuple[Shape, Rounds]]) -> Table:
    header = (
        *("body", "connections", "way", "requests/s", "of plain", "middle half", "p50, ms"),
        *("added p50, ms", "middle half", "p99, ms", "Envoy busy", "Envoy CPU", "companion CPU"),
        "failed",
    )
    rows = [
        (shape.name, str(shape.connections), way, *_row(came[way], came["plain"]))
        for shape, came in results
        for way in WAYS
    ]
    return Table(header, rows)


def _row(of: Sequence[Outcome], plain: Sequence[Outcome]) -> tuple[str, ...]:
    ratio = middle_of(rounds.throughput, of, plain)
    added = middle_of(rounds.added_p50_s, of, plain)
    return (
        grouped(median(one.per_second for one in of)),
        percentage(ratio.value),
        range_of(percentage(ratio.low), percentage(ratio.high)),
        milliseconds(median(one.p50_s for one in of)),
        milliseconds(added.value),
        range_of(milliseconds(added.low), milliseconds(added.high)),
        milliseconds(median(one.p99_s for one in of)),
        percentage(rounds.busy(of)),
        thousandths(rounds.cpu_of(of, 0)),
        thousandths(rounds.cpu_of(of, 1)),
        grouped(rounds.failures(of)),
    )


def _targets(results: Sequence[tuple[Shape, Rounds]]) -> Iterator[Target]:
    of_1_kb = {shape.connections: came for shape, came in results if shape.name == "1 KB"}
    for way, (share, added_ms) in PROMISED.items():
        many, one = of_1_kb[32], of_1_kb[1]
        ratio = middle_of(rounds.throughput, many[way], many["plain"])
        added = middle_of(rounds.added_p50_s, one[way], one["plain"])
        yield Target(
            f"{SUBJECTS[way]}: of plain Envoy's throughput at 1 KB ≥ {share:.2f}",
            _with_range(ratio),
            ratio.value >= share,
        )
        yield Target(
            f"{SUBJECTS[way]}: added p50 at 1 KB and one connection ≤ {added_ms} ms",
            f"{milliseconds(added.value)} ms",
            added.value * 1000 <= added_ms,
        )


def _with_range(ratio: Middle) -> str:
    return f"{ratio.value:.2f} (middle half {ratio.low:.2f} to {ratio.high:.2f})"
