"""The ledger as Prometheus reads it: one answer for all processes of a companion."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib import metadata
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override

from xds_server.ext_proc.ledger import (
    BYTES,
    BYTES_BUCKETS,
    REFUSAL_CODES,
    REFUSALS,
    SECONDS,
    SECONDS_BUCKETS,
    Column,
    Ledger,
)

_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def exposition(ledger: Ledger, parent: int | None = None) -> bytes:
    """Return the numbers of *ledger* in Prometheus' text format.

    *parent* is the process that feeds the workers, if there is one.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(ledger, parent))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, ledger: Ledger, parent: int | None) -> None:
        self._ledger = ledger
        self._parent = parent

    @override
    def collect(self) -> Iterator[Metric]:
        yield from self._requests()
        yield from self._histograms()
        yield from self._connections()
        yield from self._buffers()
        yield from self._processes()

    def _requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "modelyard_ext_proc_requests",
            "Requests answered, whether routed or refused.",
            labels=["worker"],
        )
        self._by_worker(requests, Column.REQUESTS)
        yield requests
        refusals = CounterMetricFamily(
            "modelyard_ext_proc_refusals",
            "Requests that got an error instead of a route.",
            labels=["code"],
        )
        # Every code is there from the start: a rate over a counter that appears late loses its
        # first step.
        for index, code in enumerate(REFUSAL_CODES):
            refusals.add_metric([code], self._ledger.sum(REFUSALS + index))
        yield refusals

    def _histograms(self) -> Iterator[Metric]:
        seconds = HistogramMetricFamily(
            "modelyard_ext_proc_extraction_seconds",
            "Time to read the model name out of a body.",
        )
        buckets = self._buckets(SECONDS_BUCKETS, SECONDS)
        seconds.add_metric([], buckets, self._ledger.sum(Column.SECONDS_SUM_NS) / 1e9)
        yield seconds
        lengths = HistogramMetricFamily(
            "modelyard_ext_proc_body_bytes",
            "Length of the bodies received.",
        )
        buckets = self._buckets(BYTES_BUCKETS, BYTES)
        lengths.add_metric([], buckets, self._ledger.sum(Column.BYTES_SUM))
        yield lengths

    def _connections(self) -> Iterator[Metric]:
        connections = GaugeMetricFamily(
            "modelyard_ext_proc_connections",
            "Open connections of Envoys.",
            labels=["worker"],
        )
        for index, row in enumerate(self._ledger.rows):
            open_ = row[Column.CONNECTIONS_OPENED] - row[Column.CONNECTIONS_CLOSED]
            connections.add_metric([str(index)], open_)
        yield connections
        failed = CounterMetricFamily(
            "modelyard_ext_proc_connection_failures",
            "Connections ended because the peer broke a rule of HTTP/2 or a bound.",
        )
        failed.add_metric([], self._ledger.sum(Column.CONNECTIONS_FAILED))
        yield failed
        streams = GaugeMetricFamily(
            "modelyard_ext_proc_streams",
            "Requests that Envoys have asked about and got no answer to yet.",
            labels=["worker"],
        )
        self._by_worker(streams, Column.STREAMS)
        yield streams

    def _buffers(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "modelyard_ext_proc_buffered_bytes",
            "Room that long bodies on their way have taken.",
            self._ledger.sum(Column.BUFFERED_BYTES),
        )
        yield GaugeMetricFamily(
            "modelyard_ext_proc_buffer_limit_bytes",
            "Room that there is for long bodies on their way.",
            self._ledger.sum(Column.BUFFER_LIMIT_BYTES),
        )
        yield GaugeMetricFamily(
            "modelyard_ext_proc_waiting_calls",
            "Long bodies that wait for room.",
            self._ledger.sum(Column.WAITING_CALLS),
        )

    def _processes(self) -> Iterator[Metric]:
        restarts = CounterMetricFamily(
            "modelyard_ext_proc_worker_restarts",
            "Workers started again because they had ended.",
        )
        rows = self._ledger.rows
        restarts.add_metric([], sum(max(0, row[Column.STARTS] - 1) for row in rows))
        yield restarts
        memory = GaugeMetricFamily(
            "modelyard_ext_proc_resident_memory_bytes",
            "Resident memory; workers share a part of it with their parent.",
            labels=["process"],
        )
        cpu = CounterMetricFamily(
            "modelyard_ext_proc_cpu_seconds",
            "CPU time, of the user and of the system.",
            labels=["process"],
        )
        pids = {str(index): row[Column.PID] for index, row in enumerate(rows)}
        if self._parent is not None:
            pids["parent"] = self._parent
        for name, pid in pids.items():
            used = _used(pid)
            if used is not None:
                memory.add_metric([name], used[0])
                cpu.add_metric([name], used[1])
        yield memory
        yield cpu
        build = InfoMetricFamily("modelyard_ext_proc_build", "What runs.")
        build.add_metric([], {"version": _version()})
        yield build

    def _by_worker(self, family: CounterMetricFamily | GaugeMetricFamily, column: Column) -> None:
        for index, row in enumerate(self._ledger.rows):
            family.add_metric([str(index)], row[column])

    def _buckets(self, first: int, bounds: Sequence[float]) -> list[tuple[str, float]]:
        counts = [self._ledger.sum(first + index) for index in range(len(bounds) + 1)]
        names = [*map(floatToGoString, bounds), "+Inf"]
        return list(zip(names, accumulate(counts), strict=True))


def _used(pid: int) -> tuple[int, float] | None:
    """Return resident bytes and CPU seconds of *pid*; None if there is no such process."""
    if not pid:
        return None
    try:
        # The name, which may hold anything, ends with the last parenthesis.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[21]) * _PAGE_BYTES, (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_S


def _version() -> str:
    try:
        return metadata.version("modelyard")
    except metadata.PackageNotFoundError:
        return "unknown"
