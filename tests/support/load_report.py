"""What a load counted: samples, failures, latencies, and who answered."""

from __future__ import annotations

import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

KEPT_FAILURES = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of one request."""

    request: int
    """Position in the list of requests."""
    started_s: float
    """`time.perf_counter()` when it was sent."""
    latency_s: float
    """Until the last byte of the answer."""
    status: int
    """0 if there was no answer."""
    pool: str
    """`x-gateway-pool`"""
    server: str
    """`x-simulate-server`"""
    error: str
    """Why it failed; "" for a status of 2xx."""


@dataclass(slots=True)
class LoadReport:
    """Everything that was counted; it grows while the load runs."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    """2xx by (position of the request, pool, server)."""
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    """Of the 2xx."""
    failed: list[Sample] = field(default_factory=list)
    """The first few failures."""
    started_s: float = 0.0
    ended_s: float = 0.0

    @property
    def failures(self) -> int:
        """Requests that broke or got anything but 2xx."""
        return self.errors.total()

    @property
    def pools(self) -> Counter[str]:
        """2xx by `x-gateway-pool`."""
        return self._sum(1)

    @property
    def servers(self) -> Counter[str]:
        """2xx by `x-simulate-server`."""
        return self._sum(2)

    @property
    def per_second(self) -> float:
        """2xx per second, up to now while the load runs."""
        elapsed = (self.ended_s or time.perf_counter()) - self.started_s
        return len(self.latencies_s) / elapsed if elapsed else 0.0

    def percentile_s(self, percent: float) -> float:
        """Return the latency that *percent* of the 2xx do not exceed; 0 if there are none."""
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]

    def summary(self) -> dict[str, object]:
        """Return the figures for people and benchmarks; times in milliseconds."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "per_second": round(self.per_second, 1),
            "p50_ms": round(self.percentile_s(50) * 1000, 3),
            "p99_ms": round(self.percentile_s(99) * 1000, 3),
            "statuses": dict(self.statuses),
            "pools": dict(self.pools),
            "servers": dict(self.servers),
            "errors": dict(self.errors.most_common(5)),
        }

    def add(self, sample: Sample) -> None:
        self.requests += 1
        if sample.status:
            self.statuses[sample.status] += 1
        if sample.error:
            self.errors[sample.error] += 1
            if len(self.failed) < KEPT_FAILURES:
                self.failed.append(sample)
        else:
            self.answers[sample.request, sample.pool, sample.server] += 1
            self.latencies_s.append(sample.latency_s)

    def _sum(self, part: int) -> Counter[str]:
        total: Counter[str] = Counter()
        for key, count in self.answers.items():
            total[str(key[part])] += count
        return total
