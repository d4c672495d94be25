"""Break the pools of a model in several ways, and show who answers: `python run.py`."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

from snapshots.ir.names import POOL_HEADER
from xds_server.demo.example import Example, running_example
from xds_server.telemetry import configure_logging

REQUESTS = 20
REGISTRY = Path(__file__).with_name("registry.yaml")
LARGE, SMALL = "127.0.0.1:8101", "127.0.0.1:8102"
POOLS = ("large", "small", "elsewhere")
UNTIL_CHECKED_S = 2.0
"""Longer than the health checks of the registry take to notice a change."""


async def main() -> None:
    print(f"{REQUESTS} requests for `assistant`, answered by\n")
    print(f"{'':34}{'large':>7}{'small':>7}{'elsewhere':>11}{'failed':>8}   servers saw")
    async with running_example(REGISTRY) as example:
        show("all is well", await one_by_one(example))
        tell(example, LARGE, latency_s=0.5)
        show("all at once: large takes 4", await at_once(example))
        tell(example, LARGE, latency_s=0, fail_rate=1, fail_status=429)
        show("large answers 429", await one_by_one(example))
        tell(example, SMALL, fail_rate=1, fail_status=503)
        show("small answers 503, too", await one_by_one(example))
        tell(example, LARGE, fail_rate=0, healthy=False)
        tell(example, SMALL, fail_rate=0)
        await asyncio.sleep(UNTIL_CHECKED_S)
        show("large is not healthy", await one_by_one(example))
        tell(example, LARGE, healthy=True)
        await asyncio.sleep(UNTIL_CHECKED_S)
        show("all is well again", await one_by_one(example))


def tell(example: Example, server: str, **settings: object) -> None:
    """Have the simulated server at the file's address *server* behave as *settings* say."""
    told = example.servers[server]
    told.settings = told.settings.changed(settings)


async def one_by_one(example: Example) -> list[tuple[str, str]]:
    return [await ask(example) for _ in range(REQUESTS)]


async def at_once(example: Example) -> list[tuple[str, str]]:
    return await asyncio.gather(*(ask(example) for _ in range(REQUESTS)))


async def ask(example: Example) -> tuple[str, str]:
    """Return the pool that answered, and the model that its server saw; "failed" if none did."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}
    async with example.session.post("/v1/chat/completions", json=body) as answer:
        if not answer.ok:
            return "failed", ""
        seen = (await answer.json())["simulate"]
        return answer.headers[POOL_HEADER], seen["model"]


def show(title: str, answers: list[tuple[str, str]]) -> None:
    by_pool = Counter(pool for pool, _ in answers)
    large, small, elsewhere, failed = (by_pool[column] for column in (*POOLS, "failed"))
    models = ", ".join(sorted({model for _, model in answers if model}))
    print(f"{title:34}{large:>7}{small:>7}{elsewhere:>11}{failed:>8}   {models}")


if __name__ == "__main__":
    configure_logging("text", logging.ERROR)
    asyncio.run(main())
