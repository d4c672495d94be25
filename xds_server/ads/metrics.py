"""Metrics of the ADS streams; a type is labelled with its service's short name."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from snapshots.type_urls import SHORT_NAMES, TypeUrl

CONVERGENCE_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

OTHER = "other"
"""The label of all types that are not served, so that a client cannot make up labels."""


class AdsMetrics:
    """The metrics of one ADS service, in *metrics*."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self.streams = Gauge("modelyard_xds_streams", "Open ADS streams.", registry=metrics)
        self._responses = Counter(
            "modelyard_xds_responses_total", "Responses sent.", ["type"], registry=metrics
        )
        self._acks = Counter(
            "modelyard_xds_acks_total",
            "Responses that a client accepted.",
            ["type"],
            registry=metrics,
        )
        self._rejections = Counter(
            "modelyard_xds_rejections_total",
            "Responses that a client refused.",
            ["type"],
            registry=metrics,
        )
        self.convergence = Histogram(
            "modelyard_convergence_seconds",
            "Time from a publication until a connected node has ACKed all of it.",
            buckets=CONVERGENCE_BUCKETS_S,
            registry=metrics,
        )
        for label in (*SHORT_NAMES.values(), OTHER):
            for counter in (self._responses, self._acks, self._rejections):
                counter.labels(label)

    def sent(self, type_url: TypeUrl) -> None:
        """Count a response."""
        self._responses.labels(SHORT_NAMES.get(type_url, OTHER)).inc()

    def acked(self, type_url: TypeUrl) -> None:
        """Count an ACK."""
        self._acks.labels(SHORT_NAMES.get(type_url, OTHER)).inc()

    def rejected(self, type_url: TypeUrl) -> None:
        """Count a NACK."""
        self._rejections.labels(SHORT_NAMES.get(type_url, OTHER)).inc()
