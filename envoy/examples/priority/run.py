"""Show who is answered while a pool fills up: `python run.py`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic

from xds_server.demo.example import Example, running_example
from xds_server.telemetry import configure_logging

REGISTRY = Path(__file__).with_name("registry.yaml")
LATENCY_S = 0.4
SECONDS = 3
OK = 200
LOADS: Mapping[str, Mapping[str, int]] = {
    "quiet": {"checkout": 10, "chat": 10, "batch": 10},
    "busy": {"checkout": 10, "chat": 20, "batch": 40},
    "too much": {"checkout": 20, "chat": 100, "batch": 40},
}
"""Requests per second for each model."""


@dataclass
class Outcome:
    """What became of the requests for one model."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    """Of those that a server answered."""


async def main() -> None:
    print(f"{'load':10}{'model':10}{'sent':>6}{'answered':>10}{'429':>6}{'503':>6}{'p50 ms':>8}")
    async with running_example(REGISTRY) as example:
        for server in example.servers.values():
            server.settings = server.settings.changed({"latency_s": LATENCY_S})
        for load, rates in LOADS.items():
            outcomes = await asyncio.gather(*(sent(example, *rate) for rate in rates.items()))
            for model, outcome in zip(rates, outcomes, strict=True):
                show(load, model, outcome)


async def sent(example: Example, model: str, rate: int) -> Outcome:
    """Send *rate* requests a second for *model*, whatever becomes of them."""
    outcome = Outcome()
    started = monotonic()
    async with asyncio.TaskGroup() as requests:
        for number in range(rate * SECONDS):
            await asyncio.sleep(max(0.0, started + number / rate - monotonic()))
            requests.create_task(ask(example, model, outcome))
    return outcome


async def ask(example: Example, model: str, outcome: Outcome) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    started = monotonic()
    async with example.session.post("/v1/chat/completions", json=body) as answer:
        await answer.read()
    outcome.statuses[answer.status] += 1
    if answer.status == OK:
        outcome.latencies_ms.append(1000 * (monotonic() - started))


def show(load: str, model: str, outcome: Outcome) -> None:
    statuses = outcome.statuses
    p50 = f"{median(outcome.latencies_ms):.0f}" if outcome.latencies_ms else "-"
    print(
        f"{load:10}{model:10}{statuses.total():>6}{statuses[OK]:>10}"
        f"{statuses[429]:>6}{statuses[503]:>6}{p50:>8}",
        flush=True,
    )


if __name__ == "__main__":
    configure_logging("text", logging.ERROR)
    asyncio.run(main())
