"""Try damaged bodies: `python -m tests.fuzz extraction|gateway|coverage [--count N] [--seed N]`.

`extraction` reads them by both extractions, `gateway` sends them through a real Envoy in both
modes, and `coverage` lets atheris look for those that take a new way through the companion's code.
The same seed tries the same bodies.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import structlog

from tests.fuzz import coverage, extraction, gateway

COUNTS = {"extraction": 100_000, "gateway": 10_000, "coverage": 100_000}
MAX_SEED = 2**32 - 1


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    # An empty one is that of a make variable which was not set.
    seed = int(options.seed or int.from_bytes(os.urandom(4)))
    count = int(options.count or COUNTS[options.what])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"{options.what}: {count:,} bodies, seed {seed}", flush=True)
    started = perf_counter()
    try:
        told = _run(options.what, count, seed)
    except (extraction.DisagreementError, gateway.GatewayError) as error:
        print(f"FAILED (seed {seed}):\n{error}", file=sys.stderr)
        return 1
    print(f"{options.what}: {told}; {perf_counter() - started:.0f} s", flush=True)
    return 0


def _run(what: str, count: int, seed: int) -> str:
    if what == "coverage":
        return coverage.run(count, seed)
    if what == "extraction":
        answers = extraction.run(count, seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            answers = asyncio.run(gateway.run(count, seed, Path(folder)))
    return ", ".join(f"{number:,} {name}" for name, number in answers.most_common())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Try damaged bodies.")
    parser.add_argument("what", choices=COUNTS)
    parser.add_argument("--count", default="", help="how many; empty: as many as is usual")
    parser.add_argument("--seed", default="", help="which; empty: others each time")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
