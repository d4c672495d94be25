"""Requests as a client of the gateway sends them, and what is seen of the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import aiohttp

from snapshots.ir.names import BASE_MODEL_HEADER, POOL_HEADER
from xds_server.address import Address

CHAT_PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer."""

    status: int
    pool: str
    server: str
    """Which simulated server answered; empty: the gateway itself."""
    model: str
    """The model name that the server saw."""
    base_model: str
    error: str
    """The message of an error; empty: none."""


@dataclass(slots=True)
class Tally:
    """What continuous requests met."""

    answers: list[tuple[float, str]] = field(default_factory=list)
    """When each answer came, as `perf_counter` seconds, and from which pool."""
    failures: Counter[str] = field(default_factory=Counter)


class Client:
    """Sends OpenAI-style requests to one gateway."""

    def __init__(self, session: aiohttp.ClientSession, gateway: Address) -> None:
        self._session = session
        self._url = f"http://{gateway}"

    async def chat(self, model: str, text: str = "Hello", path: str = CHAT_PATH) -> Seen:
        """Ask *model* to chat and return what was seen of the answer."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        async with self._session.post(self._url + path, json=body) as response:
            return _seen(response, await response.json(content_type=None))

    async def model_names(self) -> list[str]:
        """Return what `GET /v1/models` lists."""
        async with self._session.get(f"{self._url}/v1/models") as response:
            return [entry["id"] for entry in (await response.json())["data"]]

    @asynccontextmanager
    async def asking(self, model: str) -> AsyncIterator[Tally]:
        """Ask *model* again and again while the body runs."""
        tally = Tally()
        task = asyncio.get_running_loop().create_task(self._ask(model, tally))
        try:
            yield tally
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ask(self, model: str, tally: Tally) -> None:
        while True:
            try:
                seen = await self.chat(model)
            except aiohttp.ClientError as error:
                tally.failures[type(error).__name__] += 1
                continue
            if seen.error:
                tally.failures[seen.error] += 1
            else:
                tally.answers.append((perf_counter(), seen.pool))


def _seen(response: aiohttp.ClientResponse, body: dict[str, Any]) -> Seen:
    echo = body.get("simulate") or {}
    return Seen(
        status=response.status,
        pool=response.headers.get(POOL_HEADER, ""),
        server=echo.get("server", ""),
        model=echo.get("model", ""),
        base_model=(echo.get("headers") or {}).get(BASE_MODEL_HEADER, ""),
        error=(body.get("error") or {}).get("message", ""),
    )
