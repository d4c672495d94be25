"""What an edit sends to an Envoy: how many responses, resources and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from tests.benchmarks.ads_listener import Tally, listener
from tests.benchmarks.figures import grouped, milliseconds
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import ControlPlane, control_plane
from xds_server.bootstrap import Variant

METHOD = """\
A client on one ADS stream asks for what an Envoy asks for and accepts everything. *Responses*,
*resources* and *bytes* (of the whole messages, without HTTP/2 and TCP) are what it gets because of
one edit of a file of {models:,} models, until the control plane says that it has ACKed everything.
The first row is what a client that holds nothing is sent."""

SIZES = (10, 100, 1000, 10_000)
QUICK_SIZES = (10, 20)
WEIGHTS = 5
BY_SIZE = f"""\
The same client (delta) and the file of n models: what it is sent at first (*cold*), and for an edit
of one weight (*warm*; medians of {WEIGHTS}). *Built*: reading, checking and building, of which
[Building a snapshot](#building-a-snapshot) has the stages. *Published*: from then until all streams
were told of it. *Accepted*: from the moment when the edit was noticed until the client had accepted
it, all else included. In milliseconds:"""

Edit = dict[str, str]
"""The end of each section of the file."""

BEFORE: Edit = {
    "pools": "  edited: {endpoints: [10.9.0.1:8000]}",
    "models": "  edited: {split: {pool-00000: 1, pool-00001: 1}}",
}
EDITS: dict[str, Edit] = {
    "a comment": {"models": f"{BEFORE['models']}  # nothing new"},
    "one weight": {"models": "  edited: {split: {pool-00000: 2, pool-00001: 1}}"},
    "one endpoint more": {"pools": "  edited: {endpoints: [10.9.0.1:8000, 10.9.0.2:8000]}"},
    "a pool and a model more": {
        "pools": f"{BEFORE['pools']}\n  added: {{endpoints: [10.9.1.1:8000], health_check: false}}",
        "models": f"{BEFORE['models']}\n  added: {{pool: added}}",
    },
}
ALWAYS = "  uses-edited: {pool: edited}"


async def run(*, quick: bool) -> Section:
    models = 20 if quick else 1000
    tallies = {variant: await _tallies(models, variant) for variant in ("delta", "sotw")}
    return Section(
        title="What an edit sends",
        method=METHOD.format(models=models),
        tables=[_table(tallies), await _by_size(QUICK_SIZES if quick else SIZES)],
        targets=[_target(tallies["delta"]["one weight"])],
    )


def _text(models: int, edit: Edit) -> str:
    sections = crowd(models - 2)
    for section, lines in sections.items():
        lines.append((BEFORE | edit)[section])
    sections["models"].append(ALWAYS)
    return registry(sections)


async def _tallies(models: int, variant: Variant) -> dict[str, Tally]:
    """Return what each edit sends; before each the file is as it was at the start."""
    start = _text(models, {})
    async with (
        control_plane(start) as plane,
        listener(plane.serving.xds_address, variant) as client,
    ):
        first = await plane.converged()
        tallies = {"(all, at the start)": client.lap()}
        for name, edit in EDITS.items():
            loaded = len(plane.happened("registry.loaded"))
            plane.save(_text(models, edit))
            await plane.logged("registry.loaded", loaded + 1)
            revision = await plane.converged()
            tallies[name] = client.lap()
            if revision != first:
                plane.save(start)
                await plane.converged(after=revision)
                client.lap()
    return tallies


def _table(tallies: dict[str, dict[str, Tally]]) -> Table:
    header = ("edit", "variant", "responses", "resources", "removed", "bytes", "which")
    rows = [
        (
            edit,
            variant,
            grouped(tallies[variant][edit].responses),
            grouped(tallies[variant][edit].resources),
            grouped(tallies[variant][edit].removed),
            grouped(tallies[variant][edit].wire_bytes),
            ", ".join(f"{count:,} {kind}" for kind, count in tallies[variant][edit].kinds.items()),
        )
        for edit in tallies["delta"]
        for variant in tallies
    ]
    return Table(header, rows)


def _target(tally: Tally) -> Target:
    promise = (
        "an edit of one weight sends one RouteConfiguration to a delta client and nothing else"
    )
    got = f"{tally.responses} response, {tally.kinds}, {tally.wire_bytes:,} bytes"
    met = (tally.responses, tally.kinds, tally.removed) == (1, {"rds": 1}, 0)
    return Target(promise, got, met)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one content of the file took, in seconds, and what was sent because of it."""

    built_s: float
    published_s: float
    accepted_s: float | None
    tally: Tally

    @classmethod
    def of_last(cls, plane: ControlPlane, tally: Tally, *, is_edit: bool) -> Cost:
        """Return the cost of the newest content; if it is none, no edit was noticed."""
        loaded, published = (
            plane.happened(name)[-1] for name in ("registry.loaded", "snapshot.published")
        )
        accepted = plane.happened("fleet.converged")[-1:] if is_edit else []
        return cls(
            loaded.fields["seconds"],
            published.at_s - loaded.at_s,
            accepted[0].fields["seconds"] if accepted else None,
            tally,
        )


async def _by_size(sizes: tuple[int, ...]) -> Table:
    header = ("models", "", "built", "published", "accepted", "responses", "bytes")
    rows = []
    for models in sizes:
        cold, warm = await _costs(models)
        rows += [_row(models, "cold", [cold]), _row(models, "warm", warm)]
    return Table(header, rows, BY_SIZE)


def _row(models: int, state: str, costs: list[Cost]) -> tuple[str, ...]:
    accepted = [cost.accepted_s for cost in costs if cost.accepted_s is not None]
    return (
        grouped(models),
        state,
        milliseconds(median(cost.built_s for cost in costs)),
        milliseconds(median(cost.published_s for cost in costs)),
        milliseconds(median(accepted)) if accepted else "-",
        grouped(median(cost.tally.responses for cost in costs)),
        grouped(median(cost.tally.wire_bytes for cost in costs)),
    )


async def _costs(models: int) -> tuple[Cost, list[Cost]]:
    async with (
        control_plane(registry(crowd(models, first_weight=50))) as plane,
        listener(plane.serving.xds_address, "delta") as client,
    ):
        await plane.converged()
        cold = Cost.of_last(plane, client.lap(), is_edit=False)
        warm = []
        for edit in range(1, WEIGHTS + 1):
            plane.save(registry(crowd(models, first_weight=50 + edit)))
            await plane.logged("fleet.converged", edit)
            warm.append(Cost.of_last(plane, client.lap(), is_edit=True))
    return cold, warm
