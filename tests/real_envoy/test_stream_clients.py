"""Clients that go away, that read slowly, and that are many."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support.answering import (
    FIRST,
    LAST,
    Answering,
    Told,
    answering,
    assert_whole,
    each_way,
)
from tests.support.reading import PROTOCOLS, Reader, reader
from tests.support.told_server import Exchange

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools: {told: {endpoints: ["<told>"], model: org/target}}
models:
  m: {pool: told, paths: [/v1/at-m]}
  impatient: {pool: told, idle_timeout: 200ms}
extraction: {mode: <mode>, on_failure: native}
"""
EVENTS = 10
MIB = 1024 * 1024
MORE_THAN_SOCKETS_HOLD = 48 * MIB
"""What two pairs of sockets hold on their way is a few MiB each."""
FOR_BUFFERS = 8 * MIB
"""What Envoy may hold: 1 MiB of the server's, a little of the client's, with room for chance."""

told = each_way(REGISTRY)


async def test_a_server_is_told_when_its_client_goes_away(told: Told):
    async with answering(told, "m") as requests:
        for request in requests:
            await request.reading.give_up()
        for request in requests:
            await request.exchange.left()


async def test_a_client_that_goes_away_takes_nobody_with_it(told: Told):
    """Also not those on the same connection."""
    async with reader("HTTP/2", told.deployed.gateway) as client:
        requests = [await begun(client, told) for _ in range(10)]
        for request in requests[::2]:
            await request.reading.give_up()
        for request in requests[::2]:
            await request.exchange.left()
        await assert_whole(requests[1::2])


async def begun(client: Reader, told: Told) -> Answering:
    """Return a request of *client* that has had its first token."""
    reading = await client.ask({"model": "m", "stream": True})
    exchange = await told.server.next()
    await exchange.start()
    await exchange.say(FIRST)
    await reading.head()
    assert await reading.exactly(len(FIRST)) == FIRST
    return Answering(exchange, reading, started=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_client_that_reads_slowly_slows_its_server_down(told: Told, protocol):
    async with reader(protocol, told.deployed.gateway) as client, asyncio.TaskGroup() as server:
        request = await begun(client, told)
        before = await held(told)
        saying = server.create_task(say_much(request.exchange))
        await no_longer_read(told)
        added = await held(told) - before
        sent = request.exchange.sent
        rest = await request.reading.rest()
        await saying

    assert sent < MORE_THAN_SOCKETS_HOLD
    assert added < FOR_BUFFERS
    assert len(rest) == MORE_THAN_SOCKETS_HOLD
    assert rest.count(b"x") == len(rest)


async def say_much(exchange: Exchange) -> None:
    for _ in range(0, MORE_THAN_SOCKETS_HOLD, MIB):
        await exchange.say(b"x" * MIB)
    await exchange.end()


async def held(told: Told) -> int:
    """Return the bytes that Envoy has allocated."""
    return (await told.deployed.stats("server.memory_allocated"))["server.memory_allocated"]


async def no_longer_read(told: Told) -> None:
    """Wait until Envoy has stopped to read from the server, and has not begun again."""
    before = None
    async with asyncio.timeout(10):
        while (now := await pauses(told)) != before or now[0] <= now[1]:
            before = now
            await asyncio.sleep(0.1)  # what did not change for so long has come to rest


async def pauses(told: Told) -> list[int]:
    """Return how often Envoy stopped to read from the server, and how often it went on."""
    found = await told.deployed.stats("cluster.*told.upstream_flow_control_.*_reading_total")
    return [found[name] for name in sorted(found)]


async def test_a_client_that_does_not_read_for_longer_than_idle_timeout_is_cut(told: Told):
    async with reader("HTTP/1.1", told.deployed.gateway) as client:
        reading = await client.ask({"model": "impatient", "stream": True})
        exchange = await told.server.next()
        await exchange.start()
        await reading.head()
        with pytest.raises(ConnectionError):
            await say_much(exchange)
        await exchange.left()


async def test_many_streams_at_once_are_whole_and_do_not_mix(told: Told):
    """A hundred connections, and a hundred streams on one."""
    async with AsyncExitStack() as clients:
        requests = []
        for protocol in PROTOCOLS:
            client = await clients.enter_async_context(reader(protocol, told.deployed.gateway))
            requests += [await begun(client, told) for _ in range(100)]
        for event in range(EVENTS):
            for number, request in enumerate(requests):
                await request.exchange.say(said(number, event))
        heard = []
        for request in requests:
            await request.exchange.say(LAST)
            await request.exchange.end()
            heard.append(await request.reading.rest())

    for number, text in enumerate(heard):
        assert text == b"".join(said(number, event) for event in range(EVENTS)) + LAST


def said(number: int, event: int) -> bytes:
    return b"data: stream %d, event %d\n\n" % (number, event)
