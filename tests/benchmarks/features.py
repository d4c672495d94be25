"""What each feature of the registry costs a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks import rounds
from tests.benchmarks.figures import grouped, percentage, range_of, thousandths
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.rounds import Rounds, Shape, compare, middle_of
from tests.benchmarks.stack import Stack, Upstreams, running_stack
from tests.benchmarks.ways import Way
from tests.support.fast_load import fast_load_process

METHOD = """\
As under "What a request costs", with bodies of 1 KB at 32 connections, in {rounds} rounds.
*Nothing more* is a model with one pool and every default. Each other row is a model or pool with
what the row is called; the last has all of it. *Of nothing more* compares with the same mode in the
same round."""
MODES = ("native", "ext_proc")
SHAPE = Shape("1 KB", 900, 32)
QUICK_SHAPE = Shape("1 KB", 900, 32, 0.05)
ROUNDS = 21
PLAIN = "nothing more"
ALL = "all of them"
MAX_LOSS = 0.10


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a registry may ask for, and what a request that uses it carries."""

    name: str
    model: str = ""
    """Fields of the model."""
    pool: str = ""
    """Fields of its pool."""
    headers: Mapping[str, str] = field(default_factory=dict)


FEATURES = (
    Feature("sticky", model="sticky: {header: x-user-id}", headers={"x-user-id": "user-17"}),
    Feature("retries", model="retries: {attempts: 3, on: [reset, 503], per_try_timeout: 30s}"),
    Feature("limits of a pool", pool="max_requests: 1000, max_pending: 1000, connect_timeout: 1s"),
)
"""Each costs what it costs where nothing fails; what they do then is not measured here."""


async def run(*, quick: bool) -> Section:
    shape, count = (QUICK_SHAPE, 2) if quick else (SHAPE, ROUNDS)
    came: dict[str, Rounds] = {}
    for mode in MODES:
        async with _ways(mode) as ways, fast_load_process() as loader:
            came[mode] = await compare(loader, shape, ways, count)
    return Section(
        title="What the features cost",
        method=METHOD.format(rounds=count),
        tables=[_table(came)],
        targets=list(_targets(came)),
    )


@asynccontextmanager
async def _ways(mode: str) -> AsyncIterator[Sequence[Way]]:
    """Run one deployment, in which each feature has a model of its own."""
    everything = Feature(
        ALL,
        ", ".join(one.model for one in FEATURES if one.model),
        ", ".join(one.pool for one in FEATURES if one.pool),
        {name: value for one in FEATURES for name, value in one.headers.items()},
    )
    features = (Feature(PLAIN), *FEATURES, everything)
    async with AsyncExitStack() as parts:
        stack: Stack = await parts.enter_async_context(
            running_stack(lambda upstreams: _registry(upstreams, mode, features))
        )
        pids = [stack.envoy.process.pid, stack.companion.process.pid]
        yield [
            Way(one.name, stack.gateway, pids, (f"model-{number}",), one.headers)
            for number, one in enumerate(features)
        ]


def _registry(upstreams: Upstreams, mode: str, features: Sequence[Feature]) -> str:
    pools, models = [], []
    for number, one in enumerate(features):
        pool = ", ".join(filter(None, (f"endpoints: [{upstreams.a}]", one.pool)))
        model = ", ".join(filter(None, (f"pool: pool-{number}", one.model)))
        pools.append(f"  pool-{number}: {{{pool}}}")
        models.append(f"  model-{number}: {{{model}}}")
    return registry({"pools": pools, "models": models}, listen=upstreams.gateway, mode=mode)


def _table(came: Mapping[str, Rounds]) -> Table:
    header = ("mode", "with", "requests/s", "of nothing more", "middle half", "Envoy CPU", "failed")
    rows = []
    for mode, by_feature in came.items():
        for name, outcomes in by_feature.items():
            ratio = middle_of(rounds.throughput, outcomes, by_feature[PLAIN])
            rows.append(
                (
                    mode,
                    name,
                    grouped(median(one.per_second for one in outcomes)),
                    percentage(ratio.value),
                    range_of(percentage(ratio.low), percentage(ratio.high)),
                    thousandths(rounds.cpu_of(outcomes, 0)),
                    grouped(rounds.failures(outcomes)),
                )
            )
    return Table(header, rows)


def _targets(came: Mapping[str, Rounds]) -> Iterator[Target]:
    for mode, by_feature in came.items():
        ratio = middle_of(rounds.throughput, by_feature[ALL], by_feature[PLAIN])
        yield Target(
            f"{mode}: throughput with all features within 10 % of that with none",
            f"{ratio.value:.2f} (middle half {ratio.low:.2f} to {ratio.high:.2f})",
            ratio.value >= 1 - MAX_LOSS,
        )
