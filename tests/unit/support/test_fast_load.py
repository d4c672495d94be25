"""The load generator that measures proxies, against servers that answer in every way."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import pytest

from tests.support.fast_load import FastLoad, Job, TooManyFailuresError, fast_load_process, prepared
from tests.support.fast_upstream import fast_upstream_process

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CAPITALS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def answering(answer, *, pieces=1):
    """A server whose every answer is *answer*, sent in *pieces*."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        size = -(-len(answer) // pieces)
        try:
            while await reader.readuntil(b"}]") and await reader.readuntil(b"}"):
                for start in range(0, len(answer), size):
                    writer.write(answer[start : start + size])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def job(address, **fields):
    return Job(**{"address": address, "connections": 2, "seconds": 0.05, "text_bytes": 10} | fields)


async def outcome_of(answer, **server):
    async with answering(answer, **server) as address:
        return await asyncio.to_thread(FastLoad(job(address)).run)


@pytest.mark.parametrize("answer", [OK, CHUNKED, CAPITALS])
@pytest.mark.parametrize("pieces", [1, 3])
async def test_answers_are_counted_once_they_are_whole(answer, pieces):
    outcome = await outcome_of(answer, pieces=pieces)

    assert outcome.requests > 0
    assert outcome.failures == 0
    assert 0 < outcome.p50_s <= outcome.p99_s
    assert outcome.per_second == pytest.approx(outcome.requests / outcome.seconds)


async def test_other_answers_than_200_are_failures_and_the_first_is_told():
    async with answering(REFUSED) as address:
        load = FastLoad(job(address, warm_up_s=0))
        with pytest.raises(TooManyFailuresError, match="503 Service Unavailable"):
            await asyncio.to_thread(load.run)


async def test_a_server_that_hangs_up_each_time_is_an_error():
    loop = asyncio.get_running_loop()

    async def hang_up(listener):
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        serving = asyncio.ensure_future(hang_up(listener))
        load = FastLoad(job(f"127.0.0.1:{listener.getsockname()[1]}"))
        with pytest.raises(TooManyFailuresError, match=r"closed by the server|reset|Broken pipe"):
            await asyncio.to_thread(load.run)
        serving.cancel()


def test_requests_have_names_in_an_order_of_chance_that_is_always_the_same():
    names = [f"model-{index}" for index in range(10)]
    requests = prepared(job("", models=names, different=100))

    assert requests == prepared(job("", models=names, different=100))
    assert {request.partition(b"x-model: ")[2].partition(b"\r")[0] for request in requests} == {
        name.encode() for name in names
    }


async def test_the_process_does_one_job_after_the_other_and_tells_what_others_spent():
    async with fast_upstream_process("a") as address, fast_load_process() as loader:
        small = await loader.run(job(address, pids=[loader.process.pid]))
        large = await loader.run(job(address, text_bytes=1_000_000, connections=1))

    assert small.failures == large.failures == 0
    assert small.cpu_s[0] > 0
    assert small.own_cpu_s > 0
