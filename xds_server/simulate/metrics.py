"""The metrics of a simulated server under the names that vLLM gives them.

The names: https://docs.vllm.ai/en/latest/usage/metrics.html. Only those that routers and
autoscalers read are here; nothing is measured but requests and words.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

MAX_RUNNING = 256
"""vLLM's default `max_num_seqs`: requests above it count as waiting (but nothing waits here)."""


class VllmMetrics(Collector):
    """Counts of one server; the Prometheus page is written only when someone reads it."""

    def __init__(self, model: str, adapters: Iterable[str]) -> None:
        self.model = model
        self.adapters = tuple(adapters)
        self.in_flight = 0
        self.finished: Counter[str] = Counter()
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self._adapters_in_flight: Counter[str] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @contextmanager
    def running(self, model: str | None) -> Iterator[None]:
        """Count a request for *model* as running meanwhile."""
        adapter = model if model in self.adapters else None
        self.in_flight += 1
        if adapter is not None:
            self._adapters_in_flight[adapter] += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            if adapter is not None:
                self._adapters_in_flight[adapter] -= 1

    def answered(self, finish_reason: str, prompt_tokens: int, generation_tokens: int) -> None:
        """Count an answer that was sent to its end."""
        self.finished[finish_reason] += 1
        self.prompt_tokens += prompt_tokens
        self.generation_tokens += generation_tokens

    def page(self) -> bytes:
        """Return the page in Prometheus' text format."""
        return generate_latest(self._registry)

    @override
    def collect(self) -> Iterator[Metric]:
        running = min(self.in_flight, MAX_RUNNING)
        cache = running / MAX_RUNNING
        yield self._gauge("num_requests_running", "Requests in execution.", running)
        yield self._gauge("num_requests_waiting", "Requests waiting.", self.in_flight - running)
        # vLLM renamed this metric; readers of both generations find theirs.
        yield self._gauge("gpu_cache_usage_perc", "KV cache usage; 1 means full.", cache)
        yield self._gauge("kv_cache_usage_perc", "KV cache usage; 1 means full.", cache)
        yield self._counter("prompt_tokens", "Words read.", self.prompt_tokens)
        yield self._counter("generation_tokens", "Words said.", self.generation_tokens)
        yield self._successes()
        yield self._lora()

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=["model_name"])
        family.add_metric([self.model], value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=["model_name"])
        family.add_metric([self.model], value)
        return family

    def _successes(self) -> Metric:
        labels = ["finished_reason", "model_name"]
        family = CounterMetricFamily("vllm:request_success", "Requests answered.", labels=labels)
        for reason in ("stop", "length"):
            family.add_metric([reason, self.model], self.finished[reason])
        return family

    def _lora(self) -> Metric:
        labels = ["max_lora", "running_lora_adapters", "waiting_lora_adapters"]
        family = GaugeMetricFamily(
            "vllm:lora_requests_info", "LoRA adapters in use.", labels=labels
        )
        running = ",".join(name for name in self.adapters if self._adapters_in_flight[name])
        # vLLM's value is the time of the reading; readers take the newest series.
        family.add_metric([str(len(self.adapters)), running, ""], time.time())
        return family
