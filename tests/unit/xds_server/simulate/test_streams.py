"""Streamed answers over real sockets; what leaves when is steered by the test, not by a clock."""

import asyncio
import json

import pytest

from tests.support.model_server import Steps, server_and_session

CHAT = "/v1/chat/completions"


def chunks(text):
    events = text.removesuffix("\n\n").split("\n\n")
    assert events.pop() == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
async def test_a_stream_is_events_that_end_with_done_and_its_last_chunk_says_what_arrived(path):
    body = {"model": "m", "prompt": "hi", "stream": True}
    async with server_and_session() as (_, session), session.post(path, json=body) as response:
        sent = chunks(await response.text())

    assert response.content_type == "text/event-stream"
    assert response.headers["x-simulate-model"] == "m"
    assert ["simulate" in chunk for chunk in sent] == [False] * (len(sent) - 1) + [True]
    assert sent[-1]["choices"][0]["finish_reason"] == "stop"
    assert sent[-1]["simulate"]["model"] == "m"
    assert {chunk["id"] for chunk in sent} == {sent[0]["id"]}


async def test_a_stream_says_its_usage_last_if_asked():
    body = {"model": "m", "prompt": "hi", "stream": True}
    async with server_and_session() as (_, session):
        options = {"stream_options": {"include_usage": True}}
        async with session.post(CHAT, json={**body, **options}) as response:
            *_, finish, last = chunks(await response.text())

    assert "simulate" not in finish
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    assert last["simulate"]["model"] == "m"


async def test_each_word_leaves_as_soon_as_it_is_said():
    steps = Steps()
    async with server_and_session(pace=steps) as (_, session):
        steps.release()
        body = {"model": "m", "prompt": "hi", "stream": True, "max_tokens": 3}
        async with session.post(CHAT, json=body) as response:
            opening = await response.content.readuntil(b"\n\n")
            words = []
            for _ in range(3):
                # The next word is not let go before this one has arrived.
                steps.release()
                words.append(json.loads((await response.content.readuntil(b"\n\n"))[6:]))

    assert b'"role": "assistant"' in opening
    assert [one["choices"][0]["delta"]["content"] for one in words] == [
        "This",
        " is",
        " llama-1b-a",
    ]


async def test_a_client_that_goes_away_stops_its_answer(caplog):
    paces = iter([True, False])
    stopped = asyncio.Event()

    async def pace(_seconds):
        if next(paces):
            return
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with server_and_session(pace=pace) as (server, session):
        async with session.post(CHAT, json={"model": "m", "stream": True}) as response:
            await response.content.readuntil(b"\n\n")
            running = server.metrics.in_flight
            response.close()
        async with asyncio.timeout(5):
            await stopped.wait()

    assert (running, server.metrics.in_flight) == (1, 0)
    assert caplog.records == []
