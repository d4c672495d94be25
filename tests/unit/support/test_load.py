"""The load generator against simulated servers and servers that misbehave on purpose."""

import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager

import pytest

from tests.support.load import Load, LoadEndedError, chat_request, continuous_load, run_load
from tests.support.model_server import model_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-gateway-pool: p\r\n\r\nok"


@asynccontextmanager
async def scripted(*answers):
    """A server that answers the requests of each connection with *answers*; None: it hangs up."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                break
            writer.write(answer)
        else:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()
        for writer in connections:
            writer.close()


GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def test_it_sends_exactly_the_wanted_number_and_says_who_answered():
    async with model_server("llama-1b-a") as server:
        requests = [chat_request("a"), chat_request("b", stream=True)]
        report = await run_load(server.address, requests, count=51, workers=3)

    assert (report.requests, report.failures) == (51, 0)
    assert report.statuses == {200: 51}
    assert report.servers == {"llama-1b-a": 51}
    assert report.answers == {(0, "", "llama-1b-a"): 26, (1, "", "llama-1b-a"): 25}
    assert server.requests["/v1/chat/completions"] == 51
    assert 0 < report.percentile_s(50) <= report.percentile_s(99) <= report.percentile_s(100)


async def test_connections_are_kept_alive():
    async with scripted(*[OK] * 10) as (address, connections):
        report = await run_load(address, [GET], count=10, workers=1)

    assert report.pools == {"p": 10}
    assert len(connections) == 1


async def test_a_connection_that_the_server_announces_to_close_is_replaced_without_a_failure():
    closing = OK.replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n")
    async with scripted(closing) as (address, connections):
        report = await run_load(address, [GET], count=3, workers=1)

    assert (report.requests, report.failures) == (3, 0)
    assert len(connections) == 3


async def test_an_error_status_is_a_failure_that_keeps_the_servers_words():
    async with model_server(fail_rate=0.5, fail_status=502) as server:
        report = await run_load(server.address, [chat_request("m")], count=10)

    assert report.statuses == {200: 5, 502: 5}
    assert report.failures == 5
    assert "fails on purpose" in report.failed[0].error
    assert len(report.latencies_s) == 5


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "closed: by the server"),
        (b"nonsense\r\n\r\n", "not HTTP"),
        (OK + b"more", "more bytes than were asked for"),
        (OK[:-1], "timeout"),
    ],
)
async def test_a_request_that_breaks_is_a_failure_and_not_tried_again(answer, error):
    async with scripted(answer) as (address, _):
        report = await run_load(address, [GET], count=2, workers=1, timeout_s=0.2)

    assert (report.requests, report.failures) == (2, 2)
    assert all(text.startswith(error) for text in report.errors)


async def test_without_a_server_it_gives_up_at_its_limit_of_failures():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    load = Load(address, [GET], workers=2, max_failures=20)

    report = await load.run()

    assert 20 <= report.failures <= 22
    assert set(report.errors) == {"connect: ConnectionRefusedError"}


async def test_a_continuous_load_runs_until_the_test_has_seen_enough():
    async with model_server("a") as server:
        async with continuous_load(server.address, [chat_request("m")]) as load:
            await load.answered(50)
            before = load.report.requests
            await load.answered(50)
        after = load.report.requests

    assert before >= 50
    assert after >= before + 50
    assert load.report.failures == 0
    assert load.report.ended_s > load.report.started_s


async def test_a_test_can_wait_for_the_first_answer_of_a_kind():
    async with (
        model_server("a") as server,
        continuous_load(server.address, [chat_request("m"), chat_request("n")]) as load,
    ):
        sample = await load.first(lambda sample: sample.request == 1)

    assert (sample.status, sample.server, sample.error) == (200, "a", "")


async def test_waiting_ends_with_an_error_when_the_load_has_ended():
    async with model_server("a") as server:
        load = Load(server.address, [chat_request("m")], limit=5)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            with pytest.raises(LoadEndedError):
                await load.first(lambda sample: sample.server == "b")
        with pytest.raises(LoadEndedError):
            await load.answered(1)


async def test_a_failing_test_sees_its_own_error_and_the_load_stops():
    loads = []

    async def failing(address):
        async with continuous_load(address, [chat_request("m")]) as load:
            loads.append(load)
            await load.answered(1)
            raise AssertionError("my own")

    async with model_server("a") as server:
        with pytest.raises(AssertionError, match="my own"):
            await failing(server.address)

    assert loads[0].report.ended_s


async def test_as_a_process_it_prints_its_figures():
    async with model_server("a") as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.load", server.address),
            *("--model", "m", "--requests", "20", "--header", "x-gateway-x: 1"),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()

    figures = json.loads(output)
    assert (figures["requests"], figures["failures"]) == (20, 0)
    assert figures["servers"] == {"a": 20}
    assert server.last.headers == {"x-gateway-x": "1"}
