"""Requests whose answers are on their way, in each of the ways in which models are read."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.reading import PROTOCOLS, Reading, reader
from tests.support.told_server import Exchange, ToldServer, told_server

WAYS = {"ext_proc": "delta", "native": "sotw", "companion gone": "delta"}
"""Ways of reading the model's name, and the variant of xDS with which each is tried."""
FIRST = b'data: {"choices": [{"delta": {"content": "first"}}]}\n\n'
LAST = b"data: [DONE]\n\n"
STAGES = (False, True)
"""Before and after the first token."""


class Told(NamedTuple):
    """A deployment, and the server behind it whose answers the tests give."""

    deployed: Deployment
    server: ToldServer


class Answering(NamedTuple):
    """A request that a server has, and how far its answer is."""

    exchange: Exchange
    reading: Reading
    started: bool
    """Whether the client has read its first token."""


def each_way(template: str, ways: Iterable[str] = WAYS) -> Any:
    """Return a fixture: one `Told` for each of *ways*; *template* has `<told>` and `<mode>`."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module", params=ways)
    async def told(request: Any, tmp_path_factory: Any) -> AsyncIterator[Told]:
        folder = tmp_path_factory.mktemp("told")
        mode = "native" if request.param == "native" else "ext_proc"
        async with told_server() as server:
            text = template.replace("<told>", server.address).replace("<mode>", mode)
            async with deployment(text, (), folder, WAYS[request.param]) as deployed:
                if request.param != "ext_proc":
                    await deployed.companion.stop()
                yield Told(deployed, server)

    return told


@asynccontextmanager
async def answering(
    told: Told,
    model: str,
    *,
    stages: Iterable[bool] = STAGES,
    protocols: Iterable[str] = PROTOCOLS,
) -> AsyncIterator[list[Answering]]:
    """Have requests for *model* on the way, by body and by its path, over each of *protocols*.

    Each is at one of *stages*: its answer is awaited (False) or has begun (True).
    """
    deployed, server = told
    paths = ("/v1/chat/completions", f"/v1/at-{model}/chat/completions")
    async with AsyncExitStack() as clients:
        requests = []
        for protocol, path, started in itertools.product(protocols, paths, stages):
            # A client for each, so that they can be read at once.
            client = await clients.enter_async_context(reader(protocol, deployed.gateway))
            reading = await client.ask({"model": model, "stream": True}, path)
            exchange = await server.next()
            if started:
                await exchange.start()
                await exchange.say(FIRST)
                status, _ = await reading.head()
                assert (status, await reading.exactly(len(FIRST))) == (200, FIRST)
            requests.append(Answering(exchange, reading, started))
        yield requests


async def ended(request: Answering) -> tuple[int, bytes]:
    """Say what *request* has not heard yet; return its status and what it then heard."""
    if not request.started:
        await request.exchange.start()
        await request.exchange.say(FIRST)
    await request.exchange.say(LAST)
    await request.exchange.end()
    status, _ = await request.reading.head()
    return status, await request.reading.rest()


async def assert_whole(requests: Iterable[Answering]) -> None:
    """End every request, and see that nothing is missing."""
    for request in requests:
        heard = LAST if request.started else FIRST + LAST

        assert await ended(request) == (200, heard)
