"""How long a control plane takes from its start until Envoys are served, with and without state."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from tests.benchmarks.figures import grouped, milliseconds
from tests.benchmarks.registries import crowd, registry
from tests.benchmarks.report import Section, Table, Target
from xds_server.state.directory import SNAPSHOT

SIZES = (10, 100, 1000, 10_000)
QUICK_SIZES = (10, 100)
STARTS = 5
PROMISED_S = 1.0
TIMEOUT_S = 600.0

METHOD = f"""\
`modelyard serve` on a file of n models, each with a pool of two servers and a split over two pools,
from the start of the process to the line that says that Envoys are served. *Without state*: the
file is read and built before. *With state*: the process before was killed; the median of {STARTS}
starts. *Start of Python* is the same with state for a file of one model: importing and listening,
whatever the size."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size took; seconds."""

    models: int
    without_s: float
    with_s: float
    stored_bytes: int


async def run(*, quick: bool) -> Section:
    with tempfile.TemporaryDirectory() as folder:
        least = await _measure(Path(folder), 1)
        sizes = QUICK_SIZES if quick else SIZES
        results = [await _measure(Path(folder), models) for models in sizes]
    return Section(
        title="Restart of the control plane",
        method=METHOD,
        tables=[_table(results, least)],
        targets=[_target(result) for result in results if result.models >= 1000],
        remarks=[
            "A control plane with state serves before it has imported what builds; that, and the "
            "building, follow while it serves."
        ],
    )


async def _measure(folder: Path, models: int) -> Measured:
    path, state = folder / f"{models}.yaml", folder / str(models)
    path.write_text(registry(crowd(models)))
    async with _serving(path, state) as (process, without_s):
        async with asyncio.timeout(TIMEOUT_S):
            while not (state / SNAPSHOT).exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    with_s = []
    for _ in range(STARTS):
        async with _serving(path, state) as (process, seconds):
            with_s.append(seconds)
            process.send_signal(signal.SIGKILL)
    stored_bytes = (state / SNAPSHOT).stat().st_size
    return Measured(models, without_s, median(with_s), stored_bytes)


@asynccontextmanager
async def _serving(
    path: Path, state: Path
) -> AsyncIterator[tuple[asyncio.subprocess.Process, float]]:
    """Serve meanwhile; yields the process, and how many seconds it took to be ready."""
    addresses = ("--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0")
    started = perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "serve", str(path), "--state-dir", str(state)),
        *addresses,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(TIMEOUT_S):
            line = await process.stdout.readline()
        assert line.startswith(b"modelyard ready"), line
        yield process, perf_counter() - started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _table(results: list[Measured], least: Measured) -> Table:
    header = (
        *("models", "without state", "with state", "of without"),
        *("start of Python", "stored, MB"),
    )
    rows = [
        (
            grouped(result.models),
            milliseconds(result.without_s),
            milliseconds(result.with_s),
            f"{result.with_s / result.without_s:.0%}",
            milliseconds(least.with_s),
            f"{result.stored_bytes / 1e6:.1f}",
        )
        for result in results
    ]
    return Table(header, rows, "In milliseconds:")


def _target(result: Measured) -> Target:
    return Target(
        f"a restart serves {grouped(result.models)} models in under {PROMISED_S:.0f} s",
        f"{result.with_s:.2f} s",
        result.with_s < PROMISED_S,
    )
