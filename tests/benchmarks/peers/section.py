"""The same requests through what users would otherwise choose, where it is installed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks import rounds
from tests.benchmarks.figures import grouped, milliseconds, thousandths
from tests.benchmarks.peers import litellm
from tests.benchmarks.report import Section, Table
from tests.benchmarks.rounds import Rounds, Shape, compare
from tests.benchmarks.ways import running_ways
from tests.support.fast_load import fast_load_process

METHOD = """\
As under "What a request costs": {rounds} rounds of {seconds} s with bodies of 1 KB, and in the same
rounds the proxy of [LiteLLM](https://docs.litellm.ai) {version} with one process, one model, no
keys and no database. It does much that Modelyard does not: it translates between the interfaces of
vendors, counts costs and keeps budgets. The table tells what a request costs where nothing is
wanted but routing by model."""
NOT_INSTALLED = """\
LiteLLM's proxy is not installed, so there is nothing to compare with: `make peers` installs it into
an environment of its own."""
SHAPES = (Shape("1 KB", 900, 1, 2.0), Shape("1 KB", 900, 32, 2.0))
ROUNDS = 5
TITLE = "Beside other gateways"


async def run(*, quick: bool) -> Section:
    if quick or not litellm.is_installed():
        return Section(title=TITLE, method=NOT_INSTALLED, tables=[])
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="modelyard-bench-")))
        ways = await parts.enter_async_context(running_ways())
        server = next(way.address for way in ways if way.name == "direct")
        peer = await parts.enter_async_context(litellm.running_litellm(server, folder))
        loader = await parts.enter_async_context(fast_load_process())
        compared = [*(way for way in ways if way.name != "direct"), peer]
        results = [(shape, await compare(loader, shape, compared, ROUNDS)) for shape in SHAPES]
    return Section(
        title=TITLE,
        method=METHOD.format(rounds=ROUNDS, seconds=SHAPES[0].seconds, version=litellm.version()),
        tables=[_table(results, [way.name for way in compared], peer.name)],
    )


def _table(results: list[tuple[Shape, Rounds]], names: list[str], peer: str) -> Table:
    header = (
        *("connections", "way", "requests/s", f"of {peer}", "p50, ms", "p99, ms"),
        *("CPU of the proxy, s for 1,000", "failed"),
    )
    rows = []
    for shape, came in results:
        for name in names:
            outcomes = came[name]
            ratio = rounds.middle_of(rounds.throughput, outcomes, came[peer]).value
            rows.append(
                (
                    str(shape.connections),
                    name,
                    grouped(median(one.per_second for one in outcomes)),
                    f"{ratio:,.1f}",
                    milliseconds(median(one.p50_s for one in outcomes)),
                    milliseconds(median(one.p99_s for one in outcomes)),
                    thousandths(rounds.cpu_of(outcomes, 0)),
                    grouped(rounds.failures(outcomes)),
                )
            )
    return Table(header, rows)
