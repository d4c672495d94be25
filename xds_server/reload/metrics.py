"""The metrics of reading the registry file and building snapshots of it."""

from __future__ import annotations

from collections import Counter as Tally
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from snapshots.snapshot import Snapshot

BUILD_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

RESULTS = ("published", "unchanged", "refused")


class ReloadMetrics:
    """The metrics of one control plane, in *metrics*."""

    def __init__(self, metrics: CollectorRegistry) -> None:
        self._error = Gauge(
            "modelyard_registry_error",
            "1 while the registry, or a secret, is refused and the last good one is served.",
            registry=metrics,
        )
        self._reloads = Counter(
            "modelyard_registry_reloads_total",
            "Contents of the registry file, by what became of them.",
            ["result"],
            registry=metrics,
        )
        self._loaded_at = Gauge(
            "modelyard_registry_loaded_timestamp_seconds",
            "When the content that is served was read, in Unix time.",
            registry=metrics,
        )
        self.build_seconds = Histogram(
            "modelyard_snapshot_build_seconds",
            "Time from the content of the file to a checked snapshot or a refusal.",
            buckets=BUILD_BUCKETS_S,
            registry=metrics,
        )
        self._resources = Gauge(
            "modelyard_snapshot_resources",
            "Resources of the published snapshot, over all gateways, by xDS type.",
            ["type"],
            registry=metrics,
        )
        self._draining = Gauge(
            "modelyard_draining",
            "Pools and servers that have left the registry and are drained, over all gateways.",
            registry=metrics,
        )
        for result in RESULTS:
            self._reloads.labels(result)

    def loaded(self, at: datetime, *, changed: bool) -> None:
        """Record that a content is being served, whether or not its snapshot is another one."""
        self._loaded_at.set(at.timestamp())
        self._reloads.labels("published" if changed else "unchanged").inc()

    def refused(self) -> None:
        """Record that the newest content is not served."""
        self._reloads.labels("refused").inc()

    def has_error(self, whether: bool) -> None:
        """Record whether something that is served is not the newest."""
        self._error.set(whether)

    def draining(self, count: int) -> None:
        """Record how much is leaving."""
        self._draining.set(count)

    def published(self, snapshot: Snapshot) -> None:
        """Record how much *snapshot* holds."""
        tally: Tally[str] = Tally()
        for node in snapshot.nodes.values():
            for type_url, of_type in node.types.items():
                tally[type_url.rpartition(".")[2]] += len(of_type.resources)
        for type_name, count in tally.items():
            self._resources.labels(type_name).set(count)
