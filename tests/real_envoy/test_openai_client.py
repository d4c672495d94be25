"""OpenAI's own Python client, pointed at the gateway, works as against OpenAI, in both modes.

So do others' shapes, over plain HTTP: Anthropic's messages, and rankings.
"""

import hashlib
import random

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from tests.support.deployment import Deployment, deployment
from tests.support.modes import MODES

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  chat: {endpoints: ["<chat>"], model: meta-llama/Llama-3.2-1B-Instruct}
  vectors: {endpoints: ["<vectors>"]}
  down: {endpoints: ["<down>"], health_check: {interval: 1s}}
models:
  small: {pool: chat, paths: [/v1/small]}
  embedder: {pool: vectors}
  down: {pool: down}
extraction: {mode: <mode>}
"""
FULL_NAME = "meta-llama/Llama-3.2-1B-Instruct"

SERVERS = {"chat": {}, "vectors": {}, "down": {"healthy": False}}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
async def deployed(request, tmp_path_factory):
    template = REGISTRY.replace("<mode>", request.param)
    async with deployment(template, SERVERS, tmp_path_factory.mktemp("deployment")) as running:
        if request.param == "native":
            await running.companion.stop()
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(deployed: Deployment):
    async with AsyncOpenAI(
        base_url=f"{deployed.url}/v1", api_key="none", max_retries=0
    ) as connected:
        yield connected


def user(text: str):
    return [{"role": "user", "content": text}]


def said(text: str) -> str:
    """Return what the simulated server answers to *text*."""
    return f"This is chat answering as {FULL_NAME}: {text}"


async def test_a_chat(client: AsyncOpenAI):
    answer = await client.chat.completions.create(model="small", messages=user("Hello there"))

    assert answer.model == FULL_NAME
    assert (
        answer.choices[0].message.content == f"This is chat answering as {FULL_NAME}: Hello there"
    )
    assert answer.choices[0].finish_reason == "stop"


async def test_a_streamed_chat(client: AsyncOpenAI):
    chunks = await client.chat.completions.create(
        model="small",
        messages=user("Hello there"),
        stream=True,
        stream_options={"include_usage": True},
    )
    received = [chunk async for chunk in chunks]
    text = "".join(c.choices[0].delta.content or "" for c in received if c.choices)

    assert text == said("Hello there")
    assert received[-1].usage.completion_tokens == len(text.split())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion(client: AsyncOpenAI, stream):
    answer = await client.completions.create(model="small", prompt="Once upon", stream=stream)
    text = (
        "".join([chunk.choices[0].text async for chunk in answer])
        if stream
        else answer.choices[0].text
    )

    assert text == said("Once upon")


async def test_embeddings(client: AsyncOpenAI):
    answer = await client.embeddings.create(model="embedder", input=["one", "two"])

    assert answer.model == "embedder"
    assert [len(entry.embedding) for entry in answer.data] == [64, 64]


async def test_a_response(client: AsyncOpenAI):
    answer = await client.responses.create(model="small", input="Hello there")

    assert answer.model == FULL_NAME
    assert answer.output_text == said("Hello there")


async def test_a_transcription_of_a_recording(client: AsyncOpenAI):
    """The form keeps the recording to the byte, and names the model as the pool expects it."""
    recording = random.Random(5).randbytes(300_000)
    answer = await client.audio.transcriptions.create(
        model="small", file=("talk.wav", recording), language="de"
    )

    assert answer.text == said("talk.wav")
    assert answer.simulate["file"] == {
        "filename": "talk.wav",
        "bytes": len(recording),
        "sha256": hashlib.sha256(recording).hexdigest(),
    }


async def test_a_message_in_the_shape_of_anthropic(deployed: Deployment):
    headers = {"x-api-key": "none", "anthropic-version": "2023-06-01"}
    body = {"model": "small", "max_tokens": 99, "messages": user("Hello there"), "system": "Short."}
    answer = await deployed.post("/v1/messages", body, headers)

    assert (answer.status, answer.pool) == (200, "chat")
    assert answer.json["content"] == [{"type": "text", "text": said("Hello there")}]


async def test_a_ranking(deployed: Deployment):
    body = {"model": "embedder", "query": "red apple", "documents": ["pear", "red apple"]}
    answer = await deployed.post("/v1/rerank", body)

    assert (answer.status, answer.pool) == (200, "vectors")
    assert [result["index"] for result in answer.json["results"]] == [1, 0]


async def test_the_list_of_models(client: AsyncOpenAI):
    assert [model.id async for model in client.models.list()] == ["down", "embedder", "small"]


async def test_a_path_as_its_base_url(deployed: Deployment):
    async with AsyncOpenAI(base_url=f"{deployed.url}/v1/small", api_key="none") as client:
        answer = await client.chat.completions.create(model="whatever", messages=user("Hi"))
        served = [model.id async for model in client.models.list()]

    assert answer.model == FULL_NAME
    assert served == ["chat"]


async def test_headers_of_an_answer_tell_the_pool(client: AsyncOpenAI):
    answer = await client.chat.completions.with_raw_response.create(
        model="small", messages=user("Hi")
    )

    assert answer.headers["x-gateway-pool"] == "chat"


async def test_an_unknown_model_raises_what_openai_raises(client: AsyncOpenAI):
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.create(model="gpt-x", messages=user("Hi"))

    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    assert raised.value.type == "invalid_request_error"
    assert "`gpt-x` does not exist" in str(raised.value)


async def test_a_pool_that_is_down_raises_what_openai_raises(client: AsyncOpenAI):
    with pytest.raises(openai.InternalServerError) as raised:
        await client.chat.completions.create(model="down", messages=user("Hi"))

    assert (raised.value.status_code, raised.value.code) == (503, "no_healthy_upstream")
