import asyncio
import json

import pytest

from tests.support.fast_upstream import MAX_HEAD_BYTES, fast_upstream, fast_upstream_process
from tests.support.http_response import ResponseParser
from tests.support.load import chat_request, run_load

HEALTH = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"


async def exchange(address, *pieces):
    """Send *pieces* one by one, then end; return all that came back."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_it_answers_a_chat_completion_that_names_it():
    async with fast_upstream("fast-a") as address:
        response = ResponseParser().feed(await exchange(address, chat_request("m")))

    assert response.status == 200
    assert response.headers["x-simulate-server"] == "fast-a"
    assert json.loads(response.body)["system_fingerprint"] == "fast-a"


async def test_it_answers_health_checks():
    async with fast_upstream("fast-a") as address:
        assert (await exchange(address, HEALTH)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
async def test_each_of_several_requests_is_answered_once_however_they_are_cut(size):
    raw = chat_request("m", text="x" * 2000) + HEALTH + chat_request("m", text="y" * 100) + HEALTH
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    async with fast_upstream("fast-a") as address:
        received = await exchange(address, *pieces)

    assert received.count(b"HTTP/1.1 200 OK") == 4


async def test_a_large_body_is_answered_after_its_end():
    async with fast_upstream("fast-a") as address:
        received = await exchange(address, chat_request("m", text="x" * 5_000_000), HEALTH)

    assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"x" * (MAX_HEAD_BYTES + 1), b"400"),
    ],
)
async def test_what_it_cannot_read_is_refused_and_the_connection_closed(request_bytes, status):
    async with fast_upstream("fast-a") as address:
        received = await exchange(address, request_bytes)

    assert received.startswith(b"HTTP/1.1 " + status)
    assert b"connection: close" in received


async def test_as_a_process_it_prints_its_address_and_serves():
    async with fast_upstream_process("fast-b") as address:
        report = await run_load(address, [chat_request("m")], count=100, workers=2)

    assert report.failures == 0
    assert report.servers == {"fast-b": 100}
