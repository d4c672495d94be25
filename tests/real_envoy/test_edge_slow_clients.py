"""Clients that take their time lose their connection; nobody else notices."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
import pytest_asyncio

from snapshots.resources import edge, listeners
from tests.support.certificates import Authority
from tests.support.deployment import deployment
from tests.support.edge_page import told_answers
from tests.support.http1_client import http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.http2_frames import (
    DATA,
    END_STREAM,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    head_frames,
    http2_frames,
)
from tests.support.told_server import ToldServer, told_server

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_S = 0.5
PATIENCE_S = 8.0
"""For a busy machine."""
REGISTRY = """\
version: 1
gateways:
  default:
    listen: "<gateway>"
    limits: {request_headers_timeout: 500ms, request_timeout: 500ms, connection_idle_timeout: 500ms}
pools:
  quick: {endpoints: ["<quick>"]}
  told: {endpoints: ["<told>"]}
models:
  quick: {pool: quick, paths: [/v1/quick]}
  told: {pool: told}
  impatient: {pool: told, idle_timeout: 500ms}
"""
TLS_REGISTRY = """\
version: 1
gateways:
  default:
    listen: "<gateway>"
    tls: {certificate: gateway.pem, key: gateway.key}
    limits: {request_headers_timeout: 500ms}
pools:
  quick: {endpoints: ["<quick>"]}
models:
  quick: {pool: quick}
"""
HANDSHAKE = "A TLS handshake, a byte at a time"
HEADER_LINES = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n"
POST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "x"),
    (":path", "/v1/completions"),
]
ASKED = b'{"model": "told", "stream": true}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory):
    """Run a deployment that is less patient than the one that is shipped."""
    folder = tmp_path_factory.mktemp("deployment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listeners, "SLOW_READER_S", TIMEOUT_S)
        patch.setattr(edge, "STREAM_IDLE_S", TIMEOUT_S)
        async with told_server() as server:
            template = REGISTRY.replace("<told>", server.address)
            async with deployment(template, ("quick",), folder) as running:
                yield running, server


def said(row: str):
    return told_answers()[row]


class Clock:
    """Tells whether what happened took about as long as the limit."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def is_due(self) -> bool:
        return TIMEOUT_S * 0.9 <= time.monotonic() - self._started_s < TIMEOUT_S + PATIENCE_S


async def test_headers_that_never_end_are_not_waited_for(told):
    deployed, _ = told
    clock = Clock()
    async with http1_client(deployed.gateway) as client, asyncio.TaskGroup() as tasks:

        async def drip() -> None:
            with suppress(OSError):
                for number in range(10_000):
                    await client.send(b"x-%d: y\r\n" % number if number else HEADER_LINES)
                    await asyncio.sleep(0.05)  # the client that this is about

        dripping = tasks.create_task(drip())
        answer = await client.answer()
        is_due = clock.is_due()
        await client.closed()
        dripping.cancel()

    assert f"{answer.status} `{answer.error['code']}`" == said("Headers, a byte at a time").http1
    assert is_due


async def test_neither_are_those_of_a_stream(told):
    deployed, _ = told
    clock = Clock()
    block = head_frames(1, POST, ends=False)
    unfinished = block[:4] + b"\0" + block[5:]  # without END_HEADERS
    async with http2_frames(deployed.gateway) as client:
        await client.send(unfinished)
        outcome = await client.outcome()

    assert outcome == said("Headers, a byte at a time").http2
    assert clock.is_due()


async def test_a_body_that_never_ends_is_not_waited_for(told):
    deployed, _ = told
    async with http1_client(deployed.gateway) as client:
        await client.send(HEADER_LINES + b"content-length: 1000\r\n\r\n" + b'{"model":')
        answer = await client.answer()
        await client.closed()
    async with http2_frames(deployed.gateway) as stream:
        await stream.send(head_frames(1, POST, ends=False) + frame(DATA, 0, 1, b'{"model":'))
        outcome = await stream.outcome()

    row = said("A body, a byte at a time")
    assert f"{answer.status} `{answer.error['code']}`" == row.http1
    assert outcome == row.http2


@pytest.mark.parametrize("sent", [b"", whole(b'{"model": "quick"}')], ids=["nothing", "a request"])
async def test_a_connection_that_does_nothing_is_closed(told, sent):
    deployed, _ = told
    async with http1_client(deployed.gateway) as client:
        if sent:
            await client.send(sent)
            assert (await client.answer()).status == 200
        clock = Clock()
        await client.closed()

    assert said("A connection that does nothing").http1 == "connection closed"
    assert clock.is_due()


async def test_neither_do_pings_keep_one_open(told):
    deployed, _ = told
    clock = Clock()
    async with http2_frames(deployed.gateway) as client, asyncio.TaskGroup() as tasks:

        async def ping() -> None:
            with suppress(OSError):
                while True:
                    await client.send(frame(PING, payload=bytes(8)))
                    await asyncio.sleep(0.05)  # the client that this is about

        pinging = tasks.create_task(ping())
        outcome = await client.outcome()
        pinging.cancel()

    assert outcome == said("A connection that does nothing").http2
    assert clock.is_due()


async def said_until_cut(server: ToldServer) -> None:
    """Answer the next request until that is cut."""
    exchange = await server.next()
    await exchange.start()
    with suppress(ConnectionError):
        while True:
            await exchange.say(bytes(2**16))
    await exchange.left()


async def test_a_client_that_does_not_read_is_cut(told):
    deployed, server = told
    large = (2**31 - 1).to_bytes(4)
    async with http1_client(deployed.gateway) as client:
        await client.send(whole(ASKED))
        await said_until_cut(server)
    async with http2_frames(deployed.gateway) as client:
        await client.send(frame(SETTINGS, payload=b"\0\4" + large))
        await client.send(frame(WINDOW_UPDATE, payload=(2**30).to_bytes(4)))
        await client.send(head_frames(1, POST, ends=False) + frame(DATA, END_STREAM, 1, ASKED))
        await said_until_cut(server)

    row = said("An answer that is not read")
    assert (row.http1, row.http2) == ("connection closed", "connection closed")


async def test_a_stream_that_takes_nothing_is_reset_and_its_connection_goes_on(told):
    deployed, server = told
    no_window = frame(SETTINGS, payload=b"\0\4\0\0\0\0")
    async with http2_frames(deployed.gateway) as client:
        await client.send(no_window + head_frames(1, POST, ends=False))
        await client.send(frame(DATA, END_STREAM, 1, ASKED.replace(b"told", b"impatient")))
        exchange = await server.next()
        await exchange.start()
        await exchange.say(b"data: 1\n\n")
        outcome = await client.outcome()
        await exchange.left()
        await client.send(frame(PING, payload=bytes(8)))
        while (heard := await client.next()) is not None and heard[0] != PING:
            pass

    assert outcome == said("A stream without a window for its answer").http2
    assert heard is not None


async def test_an_answer_may_last_longer_than_any_of_these_limits(told):
    """As a stream of tokens does that lasts for minutes."""
    deployed, server = told
    async with http1_client(deployed.gateway) as first, http2_client(deployed.gateway) as second:
        await first.send(whole(ASKED))
        exchanges = [await server.next()]
        stream = await second.open()
        await second.send(stream, [ASKED])
        exchanges.append(await server.next())
        await asyncio.sleep(3 * TIMEOUT_S)  # servers that think
        for exchange in exchanges:
            await exchange.start()
        for number in range(3):
            for exchange in exchanges:
                await exchange.say(b"data: %d\n\n" % number)
            await asyncio.sleep(3 * TIMEOUT_S)  # and stammer
        for exchange in exchanges:
            await exchange.end()
        answers = [await first.answer(), await second.answer(stream)]

    assert [answer.status for answer in answers] == [200, 200]
    assert {answer.body for answer in answers} == {b"data: 0\n\ndata: 1\n\ndata: 2\n\n"}


async def test_an_answer_of_15_mb_may_be_read_slowly(told):
    """Slower than the limit in all, but never at a stand."""
    deployed, server = told
    size = 15_000_000
    async with http1_client(deployed.gateway) as client, asyncio.TaskGroup() as tasks:
        await client.send(whole(ASKED))
        exchange = await server.next()
        await exchange.start(length=size)
        sending = tasks.create_task(exchange.say(bytes(size)))
        await client.head()
        clock = Clock()
        got = 0
        while got < size:
            got += len(await client.read(2**18))
            await asyncio.sleep(0.02)  # the client that this is about
        await sending
        await exchange.end()

    assert got == size
    assert clock.is_due()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01"], ids=["nothing", "a part of it"])
async def test_a_tls_handshake_that_never_ends_is_not_waited_for(tmp_path, sent):
    Authority().write(tmp_path, "gateway", "gateway.test")
    async with (
        deployment(TLS_REGISTRY, ("quick",), tmp_path) as deployed,
        http1_client(deployed.gateway) as client,
    ):
        clock = Clock()
        if sent:
            await client.send(sent)
        await client.closed()

    assert said(HANDSHAKE).http1 == said(HANDSHAKE).http2 == "connection closed"
    assert clock.is_due()
