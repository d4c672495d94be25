"""How often a prompt finds its beginning cached, with and without prefix affinity."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, OrderedDict
from pathlib import Path

from xds_server.demo.example import Example, running_example
from xds_server.telemetry import configure_logging

REGISTRY = Path(__file__).with_name("registry.yaml")
APPLICATIONS = 48
"""Each has a system prompt of its own."""
CHATS = 1200
AT_A_TIME = 8
CACHED = 16
"""System prompts that one server has room for: together the four have some to spare."""

Chat = tuple[int, str]
"""The application, and what its user says."""


class PrefixCache:
    """What a server remembers of prompts: the system prompts that it saw last."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, None] = OrderedDict()

    def hit(self, application: int) -> bool:
        """Take a prompt of *application* and tell whether its beginning was there."""
        was_there = application in self._known
        self._known[application] = None
        self._known.move_to_end(application)
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return was_there


async def ask(example: Example, model: str, chat: Chat) -> tuple[int, str]:
    """Send *chat* to *model*; return its application and the server that answered."""
    application, says = chat
    rules = f"You are assistant {application}. " + f"Rule {application}. " * 200
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": says}]
    body = {"model": model, "messages": messages}
    async with example.session.post("/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        return application, response.headers["x-simulate-server"]


async def measure(example: Example, model: str, chats: list[Chat]) -> tuple[float, Counter[str]]:
    """Return the share of *chats* that found their beginning cached, and who answered how many."""
    served: list[tuple[int, str]] = []
    waiting = iter(chats)

    async def client() -> None:
        for chat in waiting:
            answer = await ask(example, model, chat)
            served.append(answer)

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_A_TIME):
            clients.create_task(client())
    caches = {server.name: PrefixCache() for server in example.servers.values()}
    hits = sum(caches[server].hit(application) for application, server in served)
    return hits / len(served), Counter(server for _, server in served)


async def main() -> None:
    """Print the table."""
    configure_logging("text", level=logging.ERROR)
    chance = random.Random(7)  # noqa: S311 - the same chats each time
    chats = [(chance.randrange(APPLICATIONS), f"Question {n}?") for n in range(CHATS)]
    print(f"{'model':8} {'load_balancing':25} {'hit ratio':>11}   requests per server")
    async with running_example(REGISTRY) as example:
        for model, told in (("spread", "least_request"), ("affine", "maglev by prompt_prefix")):
            ratio, servers = await measure(example, model, chats)
            counts = ", ".join(str(servers[server.name]) for server in example.servers.values())
            print(f"{model:8} {told:25} {ratio:>10.0%}    {counts}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
