"""How often a prompt finds its beginning cached, with and without prefix affinity."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from xds_server.address import Address
from xds_server.demo.stack import free_address, running_stack
from xds_server.simulate.server import SimulatedServer, running
from xds_server.telemetry import configure_logging

REGISTRY = Path(__file__).with_name("registry.yaml")
SERVERS = ("gpu-1", "gpu-2", "gpu-3", "gpu-4")
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


@asynccontextmanager
async def gateway() -> AsyncIterator[Address]:
    """Run everything and yield where Envoy takes requests."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-")))
        text = REGISTRY.read_text()
        for name in SERVERS:
            server = SimulatedServer(model="llama", name=name)
            await parts.enter_async_context(running(server))
            text = text.replace(f"<{name}>", server.address)
        address = free_address()
        registry = folder / "registry.yaml"
        registry.write_text(text.replace("<gateway>", str(address)))
        await parts.enter_async_context(running_stack(registry, address, folder))
        yield address


async def ask(
    session: aiohttp.ClientSession, gateway: Address, model: str, chat: Chat
) -> tuple[int, str]:
    """Send *chat* to *model*; return its application and the server that answered."""
    application, says = chat
    rules = f"You are assistant {application}. " + f"Rule {application}. " * 200
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": says}]
    body = {"model": model, "messages": messages}
    async with session.post(f"http://{gateway}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        return application, response.headers["x-simulate-server"]


async def measure(gateway: Address, model: str, chats: list[Chat]) -> tuple[float, Counter[str]]:
    """Return the share of *chats* that found their beginning cached, and who answered how many."""
    served: list[tuple[int, str]] = []
    waiting = iter(chats)

    async def client(session: aiohttp.ClientSession) -> None:
        for chat in waiting:
            answer = await ask(session, gateway, model, chat)
            served.append(answer)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as clients:
        for _ in range(AT_A_TIME):
            clients.create_task(client(session))
    caches = {name: PrefixCache() for name in SERVERS}
    hits = sum(caches[server].hit(application) for application, server in served)
    return hits / len(served), Counter(server for _, server in served)


async def main() -> None:
    """Print the table."""
    configure_logging("text", level=logging.ERROR)
    chance = random.Random(7)  # noqa: S311 - the same chats each time
    chats = [(chance.randrange(APPLICATIONS), f"Question {n}?") for n in range(CHATS)]
    print(f"{'model':8} {'load_balancing':25} {'hit ratio':>11}   requests per server")
    async with gateway() as address:
        for model, told in (("spread", "least_request"), ("affine", "maglev by prompt_prefix")):
            ratio, servers = await measure(address, model, chats)
            counts = ", ".join(str(servers[name]) for name in SERVERS)
            print(f"{model:8} {told:25} {ratio:>10.0%}    {counts}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
