"""A stream of tokens passes as it is and at once: no byte is changed, held back or added."""

import zlib
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from tests.support.answering import Told, each_way
from tests.support.deployment import deployment
from tests.support.model_server import Steps
from tests.support.reading import PROTOCOLS, Reading, reader
from tests.support.told_server import Exchange

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  same: {endpoints: ["<told>"]}
  renamed: {endpoints: ["<told>"], model: org/target}
models:
  same: {pool: same, paths: [/v1/at-same]}
  renamed: {pool: renamed, paths: [/v1/at-renamed]}
extraction: {mode: <mode>, on_failure: native}
"""
SIMULATED = """\
version: 1
pools: {p: {endpoints: ["<p>"], health_check: false}}
models: {m: {pool: p}}
"""
PIECES = (
    b": a comment\n\n",
    b'data: {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}\n\n',
    b"d",  # an event in pieces passes piece by piece
    b"ata",
    b": half\n",
    b"\n",
    b"event: ping\r\nid: 7\r\nretry: 100\r\ndata: one\r\ndata: two\r\n\r\n",
    b"\r\r\n\n\n",
    b"data: \xef\xbb\xbf\xc3\xa9\xff\xfe\x00\n\n",  # neither text nor UTF-8
    b"data: " + b"x" * 100_000 + b"\n\n",  # more than one buffer of Envoy's holds
    b"data: [DONE]",  # and nothing behind it
)


streaming = each_way(REGISTRY)


async def relayed(exchange: Exchange, reading: Reading, pieces: tuple[bytes, ...]) -> list[bytes]:
    """Say each piece once the one before it has come through; return what came through."""
    got = []
    for piece in pieces:
        await exchange.say(piece)
        got.append(await reading.exactly(len(piece)))
    return got


@pytest.mark.parametrize("length", [None, sum(map(len, PIECES))], ids=["chunked", "length"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/at-{}/completions"])
@pytest.mark.parametrize("model", ["same", "renamed"])
async def test_each_piece_arrives_before_the_next_one_is_said(
    streaming: Told, model, path, protocol, length
):
    async with reader(protocol, streaming.deployed.gateway) as client:
        reading = await client.ask({"model": model, "stream": True}, path.format(model))
        exchange = await streaming.server.next()
        await exchange.start(length=length)
        status, headers = await reading.head()
        got = await relayed(exchange, reading, PIECES)
        await exchange.end()
        rest = await reading.rest()

    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-gateway-pool"] == model
    assert "content-encoding" not in headers
    assert headers.get("content-length") == (None if length is None else str(length))
    assert (*got, rest) == (*PIECES, b"")
    named = b"org/target" if model == "renamed" else b"same"
    assert exchange.body == b'{"model": "%b", "stream": true}' % named


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_stream_that_the_server_compresses_stays_compressed(streaming: Told, protocol):
    deflate = zlib.compressobj(wbits=31)
    pieces = [
        deflate.compress(b"data: %d\n\n" % number) + deflate.flush(zlib.Z_SYNC_FLUSH)
        for number in range(5)
    ]
    gzip = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    async with reader(protocol, streaming.deployed.gateway) as client:
        reading = await client.ask({"model": "renamed", "stream": True})
        exchange = await streaming.server.next()
        await exchange.start(gzip)
        _, headers = await reading.head()
        got = await relayed(exchange, reading, (*pieces, deflate.flush()))
        await exchange.end()
        await reading.rest()

    assert headers["content-encoding"] == "gzip"
    assert zlib.decompress(b"".join(got), wbits=31) == b"".join(
        b"data: %d\n\n" % number for number in range(5)
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_head_of_an_answer_does_not_wait_for_its_first_token(streaming: Told, protocol):
    async with reader(protocol, streaming.deployed.gateway) as client:
        reading = await client.ask({"model": "same", "stream": True})
        exchange = await streaming.server.next()
        await exchange.start()
        status, _ = await reading.head()
        await exchange.end()
        rest = await reading.rest()

    assert (status, rest) == (200, b"")


async def test_openais_client_reads_a_stream_word_by_word(tmp_path: Path):
    steps = Steps()
    async with (
        deployment(SIMULATED, {"p": {"pace": steps}}, tmp_path) as deployed,
        AsyncOpenAI(base_url=f"{deployed.url}/v1", api_key="none", max_retries=0) as client,
    ):
        steps.release()
        chunks = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "one two three"}], stream=True
        )
        words = []
        async for chunk in chunks:
            words.append(chunk.choices[0].delta.content or "")
            # The next word leaves only now that the one before it is here.
            steps.release()

    assert "".join(words) == "This is p answering as m: one two three"
