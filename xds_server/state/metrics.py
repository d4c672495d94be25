"""The metrics of the state directory."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

RESULTS = ("written", "failed")


class StateMetrics:
    """The metrics of one control plane, in *metrics*."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self._writes = Counter(
            "modelyard_state_writes_total",
            "Attempts to store what Envoys are told and where it came from, by result.",
            ["result"],
            registry=metrics,
        )
        self._error = Gauge(
            "modelyard_state_error",
            "1 while the state directory does not hold what Envoys are told.",
            registry=metrics,
        )
        for result in RESULTS:
            self._writes.labels(result)

    def written(self, *, is_all: bool) -> None:
        """Record that something was stored; *is_all*: nothing else could not be."""
        self._writes.labels("written").inc()
        self._error.set(0 if is_all else 1)

    def failed(self) -> None:
        """Record that something could not be stored."""
        self._writes.labels("failed").inc()
        self._error.set(1)
