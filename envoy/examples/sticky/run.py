"""Show that a user keeps the variant, and what a changed weight moves: `python run.py`."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from snapshots.ir.names import POOL_HEADER
from xds_server.demo.example import Example, running_example
from xds_server.telemetry import configure_logging

USERS = 2000
REGISTRY = Path(__file__).with_name("registry.yaml")
BEFORE, AFTER = "split: {stable: 90, candidate: 10}", "split: {stable: 80, candidate: 20}"


async def main() -> None:
    async with running_example(REGISTRY) as example:
        first = await pools_of_users(example)
        again = await pools_of_users(example)
        await example.edit(BEFORE, AFTER)
        after = await pools_of_users(example)
    print(f"{USERS} users, each asks twice; then the file is saved with {AFTER}\n")
    print(f"{'':34}{'stable':>8}{'candidate':>11}")
    for title, pools in (("90 to 10", first), ("the same users again", again), ("80 to 20", after)):
        shares = (100 * pools.count(pool) / USERS for pool in ("stable", "candidate"))
        print(f"{title:34}{'{:7.1f}%{:10.1f}%'.format(*shares)}")
    left = sum(new == "stable" != old for old, new in zip(again, after, strict=True))
    came = sum(old == "stable" != new for old, new in zip(again, after, strict=True))
    print(f"\nusers of another pool the second time      {100 * differ(first, again):5.1f}%")
    print(f"users that the edit moved to candidate     {100 * came / USERS:5.1f}%")
    print(f"users that the edit moved away from it     {100 * left / USERS:5.1f}%")


async def pools_of_users(example: Example) -> list[str]:
    """Return the pool that answers each user."""
    return [await pool_of(example, f"user-{number}") for number in range(USERS)]


async def pool_of(example: Example, user: str) -> str:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"x-user-id": user}
    async with example.session.post(
        "/v1/chat/completions", json=body, headers=headers, raise_for_status=True
    ) as answer:
        return answer.headers[POOL_HEADER]


def differ(some: list[str], others: list[str]) -> float:
    return sum(one != other for one, other in zip(some, others, strict=True)) / len(some)


if __name__ == "__main__":
    configure_logging("text", logging.ERROR)
    asyncio.run(main())
