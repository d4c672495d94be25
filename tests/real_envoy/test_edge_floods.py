"""HTTP/2 connections that give Envoy much to do end, and no other is harmed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import pytest_asyncio

from tests.support.attacks import BODY
from tests.support.deployment import deployment
from tests.support.edge_page import told_answers
from tests.support.http2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME_BYTES,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2Frames,
    frame,
    head_frames,
    http2_frames,
)
from tests.support.load import chat_request, continuous_load
from tests.support.told_server import told_server

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

STREAMS = 5
MORE_STREAMS = "More streams than `max_concurrent_streams`, of which clients are told"
REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>", limits: {max_concurrent_streams: 5}}
pools:
  one: {endpoints: ["<one>"]}
  told: {endpoints: ["<told>"]}
models:
  one: {pool: one, paths: [/v1/one]}
  told: {pool: told}
"""
MANY = 20_000
MAX_CONCURRENT_STREAMS = 3
"""The number of the setting."""
POST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "modelyard.test"),
    (":path", "/v1/completions"),
]
HEAD = head_frames(1, POST, ends=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with told_server() as server:
        template = REGISTRY.replace("<told>", server.address)
        folder = tmp_path_factory.mktemp("deployment")
        async with deployment(template, ("one",), folder) as deployed:
            yield deployed, server


def resets() -> bytes:
    """Return many requests, each given up at once."""
    give_up = (8).to_bytes(4)
    return b"".join(
        head_frames(stream, POST, ends=False) + frame(RST_STREAM, 0, stream, give_up)
        for stream in range(1, MANY, 2)
    )


def continuations() -> bytes:
    """Return headers that go on and on."""
    return frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100) * 2_000


FLOODS = {
    "Requests that are reset, again and again": resets(),
    "`PING`s without end, whose answers are not read": frame(PING, payload=bytes(8)) * MANY * 20,
    "`SETTINGS` without end, whose answers are not read": frame(SETTINGS) * MANY * 20,
    "Empty `DATA` without end": HEAD + frame(DATA, 0, 1) * MANY,
    "Headers without end": continuations(),
    "`PRIORITY` without end": HEAD + frame(PRIORITY, 0, 1, b"\0\0\0\3\7") * MANY,
    "`WINDOW_UPDATE` without end": HEAD + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1") * MANY,
    "A frame longer than 16 KiB": HEAD + frame(DATA, 0, 1, bytes(MAX_FRAME_BYTES + 1)),
    "Headers packed a thousandfold": frame(
        HEADERS, END_HEADERS, 1, b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000 + b"\xbe" * 12_000
    ),
}


async def flooded(client: Http2Frames, data: bytes) -> str:
    """Send *data*, read nothing before all of it is gone, and return what came of it."""
    with suppress(ConnectionError):
        await client.send(data)
    return await client.outcome()


@pytest.mark.parametrize("row", FLOODS)
async def test_a_flood_ends_its_connection_and_harms_no_other(running, row):
    deployed, _ = running
    async with continuous_load(str(deployed.gateway), [chat_request("one")], workers=2) as load:
        async with http2_frames(deployed.gateway) as client:
            outcome = await flooded(client, FLOODS[row])
        await load.answered(10)

    assert outcome == told_answers()[row].http2
    assert load.report.failures == 0, load.report.summary()


async def test_a_client_is_told_how_many_streams_it_may_have_and_held_to_that(running):
    deployed, server = running
    asked = BODY.replace(b"one", b"told")
    settings: dict[int, int] = {}
    async with http2_frames(deployed.gateway) as client:
        while MAX_CONCURRENT_STREAMS not in settings:
            heard = await client.next()
            assert heard is not None
            parts = [heard[3][i : i + 6] for i in range(0, len(heard[3]), 6)]
            if heard[0] == SETTINGS:
                settings |= {int.from_bytes(p[:2]): int.from_bytes(p[2:]) for p in parts}
        for stream in range(1, 2 * STREAMS, 2):
            await client.send(head_frames(stream, POST, ends=False))
            await client.send(frame(DATA, END_STREAM, stream, asked))
        exchanges = [await server.next() for _ in range(STREAMS)]
        await client.send(head_frames(2 * STREAMS + 1, POST, ends=False))
        outcome = await client.outcome(2 * STREAMS + 1)
        for exchange in exchanges:
            await exchange.left()

    assert settings[MAX_CONCURRENT_STREAMS] == STREAMS
    assert outcome == told_answers()[MORE_STREAMS].http2
