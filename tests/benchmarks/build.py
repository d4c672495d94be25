"""How long a registry takes from its bytes to a checked snapshot, and where the time goes."""

from __future__ import annotations

import asyncio
import json
import sys
from statistics import median
from typing import Any

from tests.benchmarks.figures import grouped, milliseconds, significant
from tests.benchmarks.report import Section, Table, Target

SIZES = (10, 100, 1000, 10_000)
QUICK_SIZES = (10, 100)
PROMISED_MODELS = 1000
PROMISED_S = 3.0

METHOD = """\
A file of n models, each with a pool of two servers and a split over two pools, from its bytes to a
checked snapshot; each size in a fresh interpreter, without a control plane around it. *Cold*:
nothing was built before. *Warm*: the median of seven edits that change one weight each. Stages:
**load** (YAML, schema, references), **translate** (intermediate representation), **messages**
(constructing Envoy's), **encode** (canonical bytes), **check** (every reference once more),
**rest** (finding what is known already, sorting, hashing versions). **First use** is what the first
message of each class costs, whatever the size; it is part of *cold*."""

STAGES = ("load", "translate", "messages", "encode", "check", "rest")


async def run(*, quick: bool) -> Section:
    results = [await _measure(models) for models in (QUICK_SIZES if quick else SIZES)]
    return Section(
        title="Building a snapshot",
        method=METHOD,
        tables=[
            _times("Cold, in milliseconds:", "first use", results, _cold),
            _times("Warm, in milliseconds:", "of cold", results, _warm),
            _sizes(results),
        ],
        targets=[_target(result) for result in results if result["models"] == PROMISED_MODELS],
    )


async def _measure(models: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.build_once", str(models)),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, "the build failed"
    return json.loads(printed)


def _cold_s(result: dict[str, Any]) -> float:
    return result["first_use"] + result["cold"]["total"]


def _cold(result: dict[str, Any]) -> list[str]:
    stages = [milliseconds(result["cold"][stage]) for stage in STAGES]
    return [milliseconds(_cold_s(result)), milliseconds(result["first_use"]), *stages]


def _warm(result: dict[str, Any]) -> list[str]:
    def middle(stage: str) -> float:
        return median(edit[stage] for edit in result["warm"])

    share = middle("total") / _cold_s(result)
    return [
        milliseconds(middle("total")),
        f"{share:.1%}",
        *(milliseconds(middle(s)) for s in STAGES),
    ]


def _times(caption: str, second: str, results: list[dict[str, Any]], cells: Any) -> Table:
    header = ("models", "total", second, *STAGES)
    rows = [(grouped(result["models"]), *cells(result)) for result in results]
    return Table(header, rows, caption)


def _sizes(results: list[dict[str, Any]]) -> Table:
    header = ("models", "file, KB", "resources", "resources, KB", "KB a model", "peak memory, MB")
    rows = [
        (
            grouped(result["models"]),
            grouped(result["file_bytes"] / 1000),
            grouped(result["resources"]),
            grouped(result["resource_bytes"] / 1000),
            significant(result["resource_bytes"] / 1000 / result["models"]),
            grouped(result["peak_bytes"] / 1e6),
        )
        for result in results
    ]
    return Table(header, rows, "Sizes:")


def _target(result: dict[str, Any]) -> Target:
    cold_s = _cold_s(result)
    return Target("cold build of 1,000 models ≤ 3 s", f"{cold_s:.2f} s", cold_s <= PROMISED_S)
