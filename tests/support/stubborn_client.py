"""Clients that ask the next address when one is gone, as those of OpenAI and load balancers do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

PATH = "/v1/chat/completions"
TIMEOUT = aiohttp.ClientTimeout(total=20)


class StubbornClients:
    """What became of the requests; each is asked at one address after the other."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        """By URL and status."""
        self.asked_again = 0
        """How often an address broke off, or was not there."""
        self.lost = 0
        """Requests that no address answered."""
        self._urls = urls
        self._changed = asyncio.Condition()

    async def answered(self, count: int, url: str = "") -> None:
        """Wait until there are *count* more answers, if given by *url*."""

        def so_far() -> int:
            return sum(n for (one, _), n in self.answers.items() if url in {"", one})

        wanted = so_far() + count
        async with self._changed:
            await self._changed.wait_for(lambda: so_far() >= wanted)

    async def ask(self, model: str, first: int) -> None:
        """Ask for *model* again and again, until cancelled; the address *first* before others."""
        urls = (*self._urls[first:], *self._urls[:first])
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            while True:
                await self._ask_once(session, model, urls)
                async with self._changed:
                    self._changed.notify_all()

    async def _ask_once(
        self, session: aiohttp.ClientSession, model: str, urls: Sequence[str]
    ) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        for url in urls:
            try:
                async with session.post(url + PATH, json=body) as answer:
                    await answer.read()
                    self.answers[url, answer.status] += 1
                    return
            except (aiohttp.ClientError, TimeoutError):
                self.asked_again += 1
        self.lost += 1


@asynccontextmanager
async def stubborn_clients(
    urls: Sequence[str], models: Sequence[str]
) -> AsyncIterator[StubbornClients]:
    """Ask for *models* at *urls* meanwhile: a client for each model, with each URL as its first."""
    clients = StubbornClients(urls)
    async with asyncio.TaskGroup() as tasks:
        asking = [
            tasks.create_task(clients.ask(model, first))
            for model in models
            for first in range(len(urls))
        ]
        try:
            yield clients
        finally:
            for task in asking:
                task.cancel()
