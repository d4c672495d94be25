"""Run the benchmarks: `python -m tests.benchmarks [NAME ...] [--quick] [--output FILE]`.

Each benchmark is a module with `run(*, quick)`, which returns a section of the report.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter

from tests.benchmarks import (
    build,
    edits,
    edits_under_load,
    extraction,
    features,
    first_token,
    fleet,
    machine,
    many_models,
    memory,
    pushes,
    request_path,
    restart,
    workers,
)
from tests.benchmarks.peers import section as peers
from tests.benchmarks.report import Report, Section, markdown

BENCHMARKS: dict[str, Callable[..., Awaitable[Section]]] = {
    "build": build.run,
    "edits": edits.run,
    "pushes": pushes.run,
    "fleet": fleet.run,
    "restart": restart.run,
    "under-load": edits_under_load.run,
    "extraction": extraction.run,
    "requests": request_path.run,
    "workers": workers.run,
    "models": many_models.run,
    "features": features.run,
    "memory": memory.run,
    "first-token": first_token.run,
    "peers": peers.run,
}
COMMAND = "make bench"
TRIED = Path(__file__).with_name("tried.md")


async def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    described = tuple(machine.describe())
    sections = []
    for name in options.names or BENCHMARKS:
        started = perf_counter()
        sections.append(await BENCHMARKS[name](quick=options.quick))
        print(markdown(sections[-1]), flush=True)
        print(f"{name}: {perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    if options.output and not options.quick:
        report = Report(described, COMMAND, sections, TRIED.read_text())
        options.output.write_text(report.markdown())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure.")
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {names}; all if none")
    parser.add_argument("--quick", action="store_true", help="see that each runs; write no file")
    parser.add_argument("--output", type=Path, help="file to write the report to")
    parser.set_defaults(names=[])
    return parser


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
