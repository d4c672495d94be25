"""What an edit sends to an Envoy: how many responses, resources and bytes."""

from __future__ import annotations

from tests.benchmarks.ads_listener import Tally, listener
from tests.benchmarks.figures import grouped
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table, Target
from tests.benchmarks.stack import control_plane
from xds_server.bootstrap import Variant

METHOD = """\
A client on one ADS stream asks for what an Envoy asks for and accepts everything. *Responses*,
*resources* and *bytes* (of the whole messages, without HTTP/2 and TCP) are what it gets because of
one edit of a file of {models:,} models, until the control plane says that it has ACKed everything.
The first row is what a client that holds nothing is sent."""

Edit = dict[str, str]
"""The end of each section of the file."""

BEFORE: Edit = {
    "pools": "  edited: {endpoints: [10.9.0.1:8000]}",
    "models": "  edited: {split: {pool-00000: 1, pool-00001: 1}}",
}
EDITS: dict[str, Edit] = {
    "one weight": {"models": "  edited: {split: {pool-00000: 2, pool-00001: 1}}"},
    "one endpoint more": {"pools": "  edited: {endpoints: [10.9.0.1:8000, 10.9.0.2:8000]}"},
    "a pool and a model more": {
        "pools": f"{BEFORE['pools']}\n  added: {{endpoints: [10.9.1.1:8000], health_check: false}}",
        "models": f"{BEFORE['models']}\n  added: {{pool: added}}",
    },
    "a comment": {"models": f"{BEFORE['models']}  # nothing new"},
}
ALWAYS = "  uses-edited: {pool: edited}"


async def run(*, quick: bool) -> Section:
    models = 20 if quick else 1000
    tallies = {variant: await _tallies(models, variant) for variant in ("delta", "sotw")}
    return Section(
        title="What an edit sends",
        method=METHOD.format(models=models),
        tables=[_table(tallies)],
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
