"""What each feature of the registry costs a request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from tests.benchmarks import rounds
from tests.benchmarks.registries import registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.rounds import Rounds, Shape, compare, middle_of
from tests.benchmarks.stack import Stack, Upstreams, running_stack
from tests.benchmarks.ways import Way
from tests.support.fast_load import fast_load_process

METHOD = """\
As under "What a request costs", with bodies of 1 KB at 32 connections, in {rounds} rounds.
*Nothing more* is a model with one pool and every default. Each other row adds to that what it is
called; the last has all of it. *Of nothing more* compares with the same mode in the
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
    file: str = ""
    """Lines of the file; such a feature concerns every model, and has a gateway of its own."""
    auth: str = ""
    """Entries of `auth`, which concern every model, too."""
    headers: Mapping[str, str] = field(default_factory=dict)
    modes: Sequence[str] = MODES

    @property
    def of_file(self) -> str:
        """What it adds to the end of the file."""
        return self.file + (f"auth: {{{self.auth}}}\n" if self.auth else "")


KEY = "a-key-that-is-long-enough"
FEATURES = (
    Feature("sticky", model="sticky: {header: x-user-id}", headers={"x-user-id": "user-17"}),
    Feature("retries", model="retries: {attempts: 3, on: [reset, 503], per_try_timeout: 30s}"),
    Feature("fallback", model="fallback: [elsewhere]"),
    Feature("rate limit", model="rate_limit: {requests_per_second: 1000000}"),
    Feature("sheddable", model="priority: sheddable", pool="shed_at: 1000"),
    Feature("limits of a pool", pool="max_requests: 1000, max_pending: 1000, connect_timeout: 1s"),
    Feature(
        "prompt prefix",
        pool="load_balancing: {policy: maglev, key: prompt_prefix}",
        modes=["ext_proc"],
    ),
    Feature("default model", file="default_model: model-0\n"),
    Feature("wildcards", file='  "ft:*": {pool: pool-0}\n'),
    Feature(
        "keys",
        auth=f"clients: {{bench: {{key_sha256: {sha256(KEY.encode()).hexdigest()}}}}}",
        headers={"authorization": f"Bearer {KEY}"},
    ),
    # A variable that is set, and holds nothing secret.
    Feature("credentials", auth="upstream: {pool-0: {value_env: HOME}}"),
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
        remarks=["The prompt's prefix is read by the companion only, hence not in `native`."],
    )


@asynccontextmanager
async def _ways(mode: str) -> AsyncIterator[Sequence[Way]]:
    """Run a deployment in which features have models of their own, and one for each other."""
    features = [one for one in FEATURES if mode in one.modes]
    groups = [[Feature(PLAIN), *(one for one in features if not one.of_file)]]
    groups += [[one] for one in (*features, _all_of(features)) if one.of_file]
    async with AsyncExitStack() as parts:
        ways = []
        for group in groups:
            stack: Stack = await parts.enter_async_context(
                running_stack(lambda upstreams, group=group: _registry(upstreams, mode, group))
            )
            pids = [stack.envoy.process.pid, stack.companion.process.pid]
            ways += [
                Way(one.name, stack.gateway, pids, (f"model-{number}",), one.headers)
                for number, one in enumerate(group)
            ]
        yield ways


def _all_of(features: Sequence[Feature]) -> Feature:
    return Feature(
        ALL,
        ", ".join(one.model for one in features if one.model),
        ", ".join(one.pool for one in features if one.pool),
        # An entry of the last section, `models`, comes before the other sections.
        "".join(sorted(one.file for one in features)),
        ", ".join(one.auth for one in features if one.auth),
        {name: value for one in features for name, value in one.headers.items()},
    )


def _registry(upstreams: Upstreams, mode: str, features: Sequence[Feature]) -> str:
    pools, models = [], []
    for number, one in enumerate(features):
        pool = ", ".join(filter(None, (f"endpoints: [{upstreams.a}]", one.pool)))
        model = ", ".join(filter(None, (f"pool: pool-{number}", one.model)))
        pools.append(f"  pool-{number}: {{{pool}}}")
        models.append(f"  model-{number}: {{{model}}}")
    pools.append(f"  elsewhere: {{endpoints: [{upstreams.b}]}}")
    text = registry({"pools": pools, "models": models}, listen=upstreams.gateway, mode=mode)
    return text + "".join(one.of_file for one in features)


def _table(came: Mapping[str, Rounds]) -> Table:
    header = ("mode", "with", "requests/s", "of nothing more", "middle half", "Envoy CPU", "failed")
    rows = []
    for mode, by_feature in came.items():
        for name, outcomes in by_feature.items():
            rows.append((mode, name, *rounds.compared(outcomes, by_feature[PLAIN])))
    return Table(header, rows)


def _targets(came: Mapping[str, Rounds]) -> Iterator[Target]:
    for mode, by_feature in came.items():
        ratio = middle_of(rounds.throughput, by_feature[ALL], by_feature[PLAIN])
        yield Target(
            f"{mode}: throughput with all features within 10 % of that with none",
            f"{ratio.value:.2f} (middle half {ratio.low:.2f} to {ratio.high:.2f})",
            ratio.value >= 1 - MAX_LOSS,
        )
