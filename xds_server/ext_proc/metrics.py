"""What the companion counts, for Prometheus; no label ever holds something a client sent."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from snapshots.ir.refusals import RefusalCode

_SECONDS = (0.000_01, 0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
_BYTES = (256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864)


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "modelyard_ext_proc_requests",
            "Requests answered, whether routed or refused.",
            registry=self._registry,
        )
        refusals = Counter(
            "modelyard_ext_proc_refusals",
            "Requests that got an error instead of a route.",
            ["code"],
            registry=self._registry,
        )
        # Every code is there from the start: a rate over a counter that appears late loses its
        # first step.
        self._refusals = {code: refusals.labels(code) for code in get_args(RefusalCode)}
        self._seconds = Histogram(
            "modelyard_ext_proc_extraction_seconds",
            "Time to read the model name out of a body.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._body_bytes = Histogram(
            "modelyard_ext_proc_body_bytes",
            "Length of the bodies received.",
            buckets=_BYTES,
            registry=self._registry,
        )

    def extracted(self, body_bytes: int, seconds: float) -> None:
        """Count a body that was read in *seconds*, whatever was found in it."""
        self._body_bytes.observe(body_bytes)
        self._seconds.observe(seconds)

    def answered(self, refused: RefusalCode | None) -> None:
        """Count a request that was answered, and its refusal if it was refused."""
        self._requests.inc()
        if refused is not None:
            self._refusals[refused].inc()

    def exposition(self) -> bytes:
        """Return all values in Prometheus' text format."""
        return generate_latest(self._registry)
