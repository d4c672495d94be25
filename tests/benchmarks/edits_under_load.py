"""How many requests fail while the file is edited all the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.figures import grouped, milliseconds
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import Upstreams, running_stack
from tests.support.load import chat_request, continuous_load
from tests.support.load_report import LoadReport
from xds_server.bootstrap import Variant

MODELS = 100
WORKERS = 8

METHOD = """\
Eight connections send requests for three models as fast as they are answered, none of them a second
time, while the file is replaced over and over, each time as soon as Envoy runs the last edit. The
edits in turn: another weight; another pool for a model; a new pool, used at once; one server more
in a pool; that server gone again; the new pool gone again. A request counts as failed if its
connection breaks or its status is not 2xx. Every server is alive all the time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    variant: Variant
    edits: int
    report: LoadReport


async def run(*, quick: bool) -> Section:
    edits = 6 if quick else 100
    outcomes = [await _edit_under_load(variant, edits) for variant in ("delta", "sotw")]
    return Section(
        title="Requests that fail during edits",
        method=METHOD,
        tables=[_table(outcomes)],
        targets=[] if quick else [_target(outcome) for outcome in outcomes],
    )


async def _edit_under_load(variant: Variant, edits: int) -> Outcome:
    requests = [chat_request(model) for model in ("weighted", "moving", "steady")]
    async with running_stack(lambda upstreams: _text(upstreams, {}), variant) as stack:
        plane = stack.control_plane
        texts = _texts(stack.upstreams)
        revision = await plane.converged()
        async with continuous_load(stack.gateway, requests, workers=WORKERS) as load:
            await load.answered(100)
            for _ in range(edits):
                plane.save(next(texts))
                revision = await plane.converged(after=revision)
                await load.answered(20)
    return Outcome(variant, edits, load.report)


def _texts(upstreams: Upstreams) -> Iterator[str]:
    """Yield files for ever, each with one edit to the one before it."""
    state: dict[str, object] = {}
    weight = 50
    while True:
        weight = weight % 99 + 1
        for edit in (
            {"weight": weight},
            {"moving": "plain-b"},
            {"new": True, "moving": "new"},
            {"servers": f"{upstreams.a}, {upstreams.b}"},
            {"servers": upstreams.a},
            {"new": False, "moving": "plain-a"},
        ):
            state |= edit
            yield _text(upstreams, state)


def _text(upstreams: Upstreams, state: dict[str, object]) -> str:
    weight = state.get("weight", 50)
    sections = crowd(MODELS - 3, lambda _: (upstreams.a, upstreams.b))
    sections["pools"] += [
        f"  plain-a: {{endpoints: [{state.get('servers', upstreams.a)}]}}",
        f"  plain-b: {{endpoints: [{upstreams.b}]}}",
    ]
    if state.get("new"):
        sections["pools"].append(f"  new: {{endpoints: [{upstreams.b}], model: other}}")
    sections["models"] += [
        f"  weighted: {{split: {{plain-a: {weight}, plain-b: {100 - weight}}}}}",
        f"  moving: {{pool: {state.get('moving', 'plain-a')}}}",
        "  steady: {pool: plain-a}",
    ]
    return registry(sections, listen=upstreams.gateway)


def _table(outcomes: list[Outcome]) -> Table:
    header = ("variant", "edits", "requests", "failed", "requests/s", "p50, ms", "p99, ms", "why")
    rows = [
        (
            outcome.variant,
            grouped(outcome.edits),
            grouped(outcome.report.requests),
            grouped(outcome.report.failures),
            grouped(outcome.report.per_second),
            milliseconds(outcome.report.percentile_s(50)),
            milliseconds(outcome.report.percentile_s(99)),
            "; ".join(error for error, _ in outcome.report.errors.most_common(2)),
        )
        for outcome in outcomes
    ]
    return Table(header, rows)


def _target(outcome: Outcome) -> Target:
    failures, requests = outcome.report.failures, outcome.report.requests
    promise = f"requests failed during 100 edits under load, {outcome.variant}: 0"
    return Target(promise, f"{failures:,} of {requests:,}", failures == 0)
