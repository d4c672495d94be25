"""Whether a request costs more where the registry holds more models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from tests.benchmarks import rounds
from tests.benchmarks.figures import grouped
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.rounds import Rounds, Shape, compare, middle_of
from tests.benchmarks.stack import Upstreams, running_stack
from tests.benchmarks.ways import Way
from tests.support.fast_load import fast_load_process

METHOD = """\
As under "What a request costs", with bodies of 1 KB at 32 connections, in {rounds} rounds.
*Models* is how many the file has; *asked for*, from how many of them chance draws the model of each
of {different:,} different requests. All models share a pool, so that nothing else differs. *Of the
fewest* compares with the same mode and the fewest models in the same round."""
SIZES = (2, 1_000, 10_000)
MODES = ("native", "ext_proc")
SHAPE = Shape("1 KB", 900, 32, 0.5)
QUICK_SHAPE = Shape("1 KB", 900, 32, 0.05)
ROUNDS = 15
MAX_LOSS = 0.05


async def run(*, quick: bool) -> Section:
    sizes, shape, count = (SIZES[:2], QUICK_SHAPE, 2) if quick else (SIZES, SHAPE, ROUNDS)
    came: dict[str, Rounds] = {}
    for mode in MODES:
        async with _ways(mode, sizes) as ways, fast_load_process() as loader:
            came[mode] = await compare(loader, shape, ways, count)
    return Section(
        title="Many models",
        method=METHOD.format(rounds=count, different=rounds.DIFFERENT),
        tables=[_table(came)],
        targets=list(_targets(came)),
        remarks=[
            "Finding the route takes as long with 10,000 models as with 2. Where requests are "
            "spread evenly over thousands, Envoy finds fewer of the routes in the processor's "
            "caches, which costs it about 10 µs a request.",
        ],
    )


@asynccontextmanager
async def _ways(mode: str, sizes: Sequence[int]) -> AsyncIterator[Sequence[Way]]:
    """Run a deployment for each size; a way is called `size/asked for`."""
    async with AsyncExitStack() as parts:
        ways = []
        for size in sizes:
            names = [f"model-{index:05}" for index in range(size)]
            stack = await parts.enter_async_context(
                running_stack(lambda upstreams, names=names: _registry(upstreams, mode, names))
            )
            pids = [stack.envoy.process.pid, stack.companion.process.pid]
            ways += [
                Way(f"{size}/{asked}", stack.gateway, pids, names[:asked])
                for asked in sorted({sizes[0], size})
            ]
        yield ways


def _registry(upstreams: Upstreams, mode: str, names: Sequence[str]) -> str:
    sections = {
        "pools": [f"  probe: {{endpoints: [{upstreams.a}]}}"],
        "models": [f"  {name}: {{pool: probe}}" for name in names],
    }
    return registry(sections, listen=upstreams.gateway, mode=mode)


def _table(came: dict[str, Rounds]) -> Table:
    header = (
        *("mode", "models", "asked for", "requests/s", "of the fewest", "middle half"),
        *("Envoy CPU", "failed"),
    )
    rows = []
    for mode, by_size in came.items():
        fewest = next(iter(by_size.values()))
        for name, outcomes in by_size.items():
            numbers = (grouped(int(number)) for number in name.split("/"))
            rows.append((mode, *numbers, *rounds.compared(outcomes, fewest)))
    return Table(header, rows)


def _targets(came: dict[str, Rounds]) -> Iterator[Target]:
    for mode, by_size in came.items():
        fewest = next(iter(by_size.values()))
        for name, outcomes in list(by_size.items())[1:]:
            size, asked = map(int, name.split("/"))
            ratio = middle_of(rounds.throughput, outcomes, fewest)
            yield Target(
                f"{mode}: throughput with {size:,} models, {asked:,} asked for, within 5 % of that"
                " with 2",
                f"{ratio.value:.2f} (middle half {ratio.low:.2f} to {ratio.high:.2f})",
                ratio.value >= 1 - MAX_LOSS,
            )
