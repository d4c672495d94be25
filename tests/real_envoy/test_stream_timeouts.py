"""`timeout` is for a whole answer, `idle_timeout` for its pauses; clients can tell a cut one."""

import asyncio
import json
from contextlib import suppress

import pytest

from tests.support.answering import Answering, Told, answering, assert_whole, each_way
from tests.support.http1_client import head, http1_client
from tests.support.reading import CutError, Reading
from tests.support.told_server import Exchange

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools: {told: {endpoints: ["<told>"], model: org/target}}
models:
  hasty: {pool: told, paths: [/v1/at-hasty], timeout: 300ms}
  impatient: {pool: told, paths: [/v1/at-impatient], idle_timeout: 300ms}
  lively: {pool: told, paths: [/v1/at-lively], idle_timeout: 1s}
  patient: {pool: told, paths: [/v1/at-patient], timeout: 0s, idle_timeout: 0s}
extraction: {mode: <mode>, on_failure: native}
"""
LIMIT_S = 0.3
SHORT_PAUSE_S = 0.2
LONG_PAUSE_S = 1.2
"""Longer than Envoy waits for the companion, and than any limit here."""
UPSTREAM_TIMEOUT = {
    "message": "The server did not answer in time.",
    "type": "server_error",
    "param": None,
    "code": "upstream_timeout",
}
CUT = ["closed before the end"] * 2 + ["reset with 2"] * 2  # INTERNAL_ERROR
"""How clients of each protocol see that an answer was cut."""

told = each_way(REGISTRY, ("ext_proc", "native"))


async def how_it_ends(reading: Reading) -> str:
    """Return how the client could tell that the answer was cut."""
    with pytest.raises(CutError) as cut:
        await reading.rest()
    return str(cut.value)


async def say_until_gone(exchange: Exchange) -> None:
    """Send an event now and then for as long as somebody takes them."""
    with suppress(OSError):
        while not exchange.gone.is_set():
            await exchange.say(b"data: more\n\n")
            await asyncio.sleep(LIMIT_S / 10)


@pytest.mark.parametrize("model", ["hasty", "impatient"])
async def test_an_answer_that_does_not_begin_in_time_is_an_error_that_says_so(told: Told, model):
    async with answering(told, model, stages=[False]) as requests:
        answers = []
        for request in requests:
            answers.append((*await request.reading.head(), await request.reading.rest()))
            await request.exchange.left()

    for status, headers, body in answers:
        assert (status, headers["content-type"]) == (504, "application/json")
        assert json.loads(body)["error"] == UPSTREAM_TIMEOUT


async def test_the_time_limit_of_one_model_does_not_take_the_pool_from_the_others(told: Told):
    async with answering(told, "hasty", stages=[False]) as requests:
        statuses = [(await request.reading.head())[0] for request in requests]
    async with answering(told, "patient", stages=[False]) as requests:
        await assert_whole(requests)

    assert len(statuses) > 3  # as many in a row would make Envoy eject one of several servers
    assert set(statuses) == {504}


@pytest.mark.parametrize("model", ["hasty", "impatient"])
async def test_an_answer_that_stalls_is_cut_and_its_server_told(told: Told, model):
    async with answering(told, model, stages=[True]) as requests:
        ends = [await how_it_ends(request.reading) for request in requests]
        for request in requests:
            await request.exchange.left()

    assert ends == CUT


async def test_timeout_cuts_an_answer_that_is_still_being_said(told: Told):
    async with answering(told, "hasty", stages=[True]) as requests:
        async with asyncio.TaskGroup() as servers:
            for request in requests:
                servers.create_task(say_until_gone(request.exchange))
        ends = [await how_it_ends(request.reading) for request in requests]

    assert ends == CUT


async def test_idle_timeout_lets_go_on_what_pauses_for_less(told: Told):
    async with answering(told, "lively", stages=[True]) as requests:
        async with asyncio.TaskGroup() as servers:
            for request in requests:
                servers.create_task(say_six_times(request))
        await assert_whole(requests)


async def say_six_times(request: Answering) -> None:
    """Say events for longer than the limit in all."""
    for _ in range(6):
        await asyncio.sleep(SHORT_PAUSE_S)
        await request.exchange.say(b"data: more\n\n")
        await request.reading.exactly(len(b"data: more\n\n"))


async def test_without_limits_an_answer_may_stall(told: Told):
    async with answering(told, "patient") as requests:
        await asyncio.sleep(LONG_PAUSE_S)
        await assert_whole(requests)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/at-hasty/chat/completions"])
async def test_the_time_that_a_client_takes_to_send_its_body_does_not_count(told: Told, path):
    body = json.dumps({"model": "hasty"}).encode()
    async with http1_client(told.deployed.gateway) as client:
        await client.send(head(path=path, length=len(body)) + body[:5])
        await asyncio.sleep(LIMIT_S * 1.5)
        await client.send(body[5:])
        exchange = await told.server.next()
        await exchange.start()
        await exchange.end()
        status, _ = await client.head()

    assert status == 200


@pytest.mark.parametrize(
    "header",
    ["x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms"],
)
@pytest.mark.parametrize("value", ["0", "1"])
async def test_clients_cannot_change_a_limit(told: Told, header, value):
    async with asyncio.TaskGroup() as clients:
        asked = told.deployed.post("/v1/chat/completions", {"model": "lively"}, {header: value})
        answer = clients.create_task(asked)
        exchange = await told.server.next()
        # Nothing tells that Envoy does not do something.
        await asyncio.sleep(0.05)
        await exchange.start({"content-type": "text/plain"})
        await exchange.end()

    assert answer.result().status == 200
