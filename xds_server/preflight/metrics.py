"""The metrics of asking Envoy before a snapshot is published."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
RESULTS = ("passed", "refused")


class PreflightMetrics:
    """The metrics of one control plane, in *metrics*."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "modelyard_preflight_seconds",
            "Time from a built snapshot to Envoy's judgement of it.",
            buckets=BUCKETS_S,
            registry=metrics,
        )
        self._checks = Counter(
            "modelyard_preflight_checks_total",
            "Snapshots that Envoy was asked about, by what it said.",
            ["result"],
            registry=metrics,
        )
        for result in RESULTS:
            self._checks.labels(result)

    def checked(self, *, passed: bool) -> None:
        """Record what Envoy said of a snapshot."""
        self._checks.labels("passed" if passed else "refused").inc()
