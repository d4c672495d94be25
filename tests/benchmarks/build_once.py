"""The times of building a registry in a fresh interpreter.

`python -m tests.benchmarks.build_once 1000` prints them as JSON, for a thousand models. The stages
of the program are timed where it calls them.
"""

from __future__ import annotations

import json
import resource
import sys
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from typing import Any

from snapshots import build
from snapshots.build import SnapshotBuilder
from snapshots.registry.loader import load_registry
from snapshots.snapshot import Snapshot
from tests.benchmarks.registries import crowd, registry
from xds_server.garbage import no_search

EDITS = 7
MESSAGES = (
    "build_cluster",
    "build_no_model_cluster",
    "build_load_assignment",
    "build_listener",
    "build_scope",
    "build_model_routes",
    "build_no_model_routes",
)
STAGES = {
    "translate": ("translate",),
    "messages": MESSAGES,
    "encode": ("encode",),
    "check": ("check_consistency",),
}


class Stages:
    """Seconds by stage, since the last `lap`."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        for stage, names in STAGES.items():
            for name in names:
                setattr(build, name, self._timed(stage, getattr(build, name)))

    def lap(self) -> dict[str, float]:
        lap, self._seconds = self._seconds, defaultdict(float)
        return {stage: lap[stage] for stage in STAGES}

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._seconds[stage] += perf_counter() - started

        return timed


class Builds:
    """Builds in this process, as the control plane does them."""

    def __init__(self) -> None:
        self._stages = Stages()
        self._builder = SnapshotBuilder()

    def build(self, text: str) -> tuple[dict[str, float], Snapshot]:
        """Return the seconds of each stage, and the snapshot."""
        self._stages.lap()
        with no_search():
            started = perf_counter()
            loaded = load_registry(text.encode(), "registry.yaml")
            read = perf_counter()
            snapshot = self._builder.build(loaded)
            ended = perf_counter()
        stages = {"load": read - started, **self._stages.lap()}
        stages["rest"] = ended - started - sum(stages.values())
        return {**stages, "total": ended - started}, snapshot


def measure(models: int) -> dict[str, Any]:
    """Return the times of the first build, and of builds after one weight changed."""
    builds = Builds()
    # What only the first message of each class costs does not grow with the registry.
    first_use, _ = builds.build(registry(crowd(1)))
    texts = [registry(crowd(models, first_weight=50 + edit)) for edit in range(EDITS + 1)]
    cold, snapshot = builds.build(texts[0])
    warm = [builds.build(text)[0] for text in texts[1:]]
    types = snapshot.for_node("any").types.values()
    return {
        "models": models,
        "file_bytes": len(texts[0]),
        "resources": sum(len(one.resources) for one in types),
        "resource_bytes": sum(len(r.body) for one in types for r in one.resources.values()),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "first_use": first_use["total"],
        "cold": cold,
        "warm": warm,
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
