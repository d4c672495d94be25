"""The command `modelyard simulate`, used by the official `openai` client as any server would be."""

import asyncio
import json
import signal
import sys

import aiohttp
import openai
import pytest
import pytest_asyncio

from tests.support.model_server import Steps, model_server, simulate_process

MODEL = "meta-llama/Llama-3.2-1B-Instruct"
MESSAGES = [{"role": "user", "content": "What is Envoy?"}]
SENTENCE = f"This is llama-1b-a answering as {MODEL}: What is Envoy?"


@pytest_asyncio.fixture
async def server():
    arguments = ("--model", MODEL, "--name", "llama-1b-a", "--adapter", "sql-lora")
    async with simulate_process(*arguments) as process:
        yield process


@pytest_asyncio.fixture
async def client(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as c:
        yield c


async def test_a_chat_is_answered(client):
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)

    assert answer.choices[0].message.content == SENTENCE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.system_fingerprint == "llama-1b-a"
    assert answer.usage.total_tokens == 3 + 9
    assert answer.simulate["server"] == "llama-1b-a"


async def test_a_chat_is_streamed(client):
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        n=2,
    )

    texts = ["", ""]
    reasons = {}
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] = choice.finish_reason
    assert texts == [SENTENCE, SENTENCE]
    assert reasons == {0: "stop", 1: "stop"}
    assert chunk.usage.completion_tokens == 18
    assert chunk.simulate["model"] == MODEL


async def test_the_clients_own_stream_accumulator_accepts_the_chunks(client):
    async with client.chat.completions.stream(model=MODEL, messages=MESSAGES) as stream:
        final = await stream.get_final_completion()

    assert final.choices[0].message.content == SENTENCE


async def test_a_completion_is_answered_and_streamed(client):
    answer = await client.completions.create(model=MODEL, prompt=["one", "two"], max_tokens=4)
    stream = await client.completions.create(model=MODEL, prompt="What is Envoy?", stream=True)

    streamed = "".join([chunk.choices[0].text async for chunk in stream])

    assert [choice.text for choice in answer.choices] == ["This is llama-1b-a answering"] * 2
    assert answer.choices[0].finish_reason == "length"
    assert streamed == SENTENCE


async def test_embeddings_are_the_same_in_both_encodings(client):
    texts = ["one", "two"]
    packed = await client.embeddings.create(model=MODEL, input=texts, dimensions=8)
    plain = await client.embeddings.create(
        model=MODEL, input=texts, dimensions=8, encoding_format="float"
    )

    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
    assert packed.data[0].embedding != packed.data[1].embedding
    assert packed.usage.prompt_tokens == 2


async def test_models_are_listed_and_retrieved(client):
    listed = [model.id async for model in client.models.list()]
    one = await client.models.retrieve(MODEL)

    assert listed == [MODEL, "sql-lora"]
    assert one.id == MODEL
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("other")


async def test_headers_tell_the_server_and_the_model(client):
    raw = await client.chat.completions.with_raw_response.create(
        model="sql-lora", messages=MESSAGES, extra_headers={"x-gateway-model-name": "sql-lora"}
    )
    answer = raw.parse()
    if asyncio.iscoroutine(answer):
        answer = await answer

    assert raw.headers["x-simulate-server"] == "llama-1b-a"
    assert raw.headers["x-simulate-model"] == "sql-lora"
    assert answer.simulate["headers"] == {"x-gateway-model-name": "sql-lora"}
    assert answer.simulate["path"] == "/v1/chat/completions"


async def test_errors_reach_the_client_as_its_own_exceptions(server, client):
    with pytest.raises(openai.BadRequestError, match="messages"):
        await client.chat.completions.create(model=MODEL, messages="hi")
    async with (
        aiohttp.ClientSession(server.url) as session,
        session.post("/simulate/settings", json={"fail_rate": 1}) as response,
    ):
        assert response.status == 200
    with pytest.raises(openai.InternalServerError, match="fails on purpose") as failed:
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)

    assert failed.value.status_code == 503
    assert failed.value.code == "simulated_failure"


async def test_the_client_sees_each_word_before_the_next_one_leaves():
    steps = Steps()
    async with (
        model_server("llama-1b-a", pace=steps) as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as client,
    ):
        steps.release()
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, max_tokens=3
        )
        assert (await anext(stream)).choices[0].delta.role == "assistant"
        words = []
        for _ in range(3):
            steps.release()
            words.append((await anext(stream)).choices[0].delta.content)
        await stream.close()

    assert words == ["This", " is", " llama-1b-a"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_says_when_it_is_ready_and_stops_cleanly(server, number):
    assert server.ready_line == f"simulate llama-1b-a ready on {server.url}"
    assert await server.stop(number) == 0


async def test_a_stream_in_flight_does_not_keep_the_command_from_stopping():
    body = {"model": "m", "stream": True}
    async with (
        simulate_process("--model", "m", "--token-latency", "1h") as server,
        aiohttp.ClientSession(server.url) as session,
        session.post("/v1/chat/completions", json=body) as response,
    ):
        await response.content.readuntil(b"\n\n")

        assert await server.stop() == 0


async def run(*arguments):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "xds_server", "simulate", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_a_taken_port_gives_one_clear_line(server):
    code, output, errors = await run("--model", "m", "--address", server.address)

    assert (code, output) == (1, "")
    assert errors.count("\n") == 1
    assert errors.startswith(f"Error: cannot listen on {server.address}: ")
    assert "address already in use" in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--model'"),
        (["--model", "m", "--address", "8000"], "is not HOST:PORT"),
        (["--model", "m", "--latency", "fast"], "is not a duration"),
        (["--model", "m", "--latency", "2h"], "latency_s"),
        (["--model", "m", "--fail-rate", "2"], "'--fail-rate'"),
        (["--model", "m", "--fail-status", "200"], "'--fail-status'"),
    ],
)
async def test_wrong_usage_says_what_is_wrong(arguments, said):
    code, output, errors = await run(*arguments)

    assert (code, output) == (2, "")
    assert said in errors
    assert "Traceback" not in errors


async def test_options_reach_the_server():
    arguments = ["--model", "m", "--adapter", "a", "--adapter", "b", "--strict-model"]
    knobs = ["--latency", "1ms", "--token-latency", "2ms", "--tokens", "3", "--fail-rate", "0.5"]
    more = ["--fail-status", "500", "--health-latency", "3ms", "--unhealthy"]
    async with (
        simulate_process(*arguments, *knobs, *more) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        async with session.get("/simulate/settings") as response:
            settings = await response.json()
        async with session.get("/v1/models") as response:
            models = [card["id"] for card in (await response.json())["data"]]
        async with session.post("/v1/chat/completions", json={"model": "x"}) as response:
            unknown = response.status
        async with session.get("/health") as response:
            health = response.status

    assert json.loads(json.dumps(settings)) == {
        "latency_s": 0.001,
        "token_latency_s": 0.002,
        "tokens": 3,
        "fail_rate": 0.5,
        "fail_status": 500,
        "healthy": False,
        "health_latency_s": 0.003,
    }
    assert models == ["m", "a", "b"]
    assert (unknown, health) == (404, 503)
