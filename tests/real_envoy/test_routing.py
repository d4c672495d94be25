"""Which server answers: models, aliases, adapters, paths, splits."""

from collections import Counter

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  llama-1b:
    endpoints: ["<llama-1b>"]
    model: meta-llama/Llama-3.2-1B-Instruct
    adapters: [food-review, sql-lora]
  llama-3b:
    endpoints: ["<llama-3b>"]
    adapters: [poems]
  untouched:
    endpoints: ["<untouched>"]
    adapters: [of-nobody]
models:
  llama-3-2-1b: {pool: llama-1b, aliases: [small, "1b"], paths: [/v1/1b, /team/llama]}
  llama-3-2-3b: {pool: llama-3b, paths: [/v1/1b/large]}
  second-name: {pool: llama-3b}
  all-on-one: {split: {llama-1b: 0, llama-3b: 1, untouched: 0}}
  by-thirds: {split: {llama-1b: 2, llama-3b: 1}}
"""
FULL_1B = "meta-llama/Llama-3.2-1B-Instruct"

deployed = shared_deployment(REGISTRY, ("llama-1b", "llama-3b", "untouched"))


def chat(model: str | None) -> dict[str, object]:
    named = {} if model is None else {"model": model}
    return {**named, "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("name", ["llama-3-2-1b", "small", "1b"])
async def test_a_model_and_its_aliases_reach_its_pool_with_the_name_that_it_expects(
    deployed: Deployment, name
):
    answer = await deployed.chat(name)

    assert (answer.status, answer.pool, answer.server) == (200, "llama-1b", "llama-1b")
    assert answer.seen["model"] == FULL_1B
    assert answer.seen["headers"] == {
        "x-gateway-model-name": name,
        "x-gateway-base-model-name": "llama-3-2-1b",
    }


async def test_a_model_of_a_pool_without_a_name_of_its_own_keeps_its_name(deployed: Deployment):
    answer = await deployed.chat("llama-3-2-3b")

    assert (answer.pool, answer.seen["model"]) == ("llama-3b", "llama-3-2-3b")
    assert answer.seen["headers"]["x-gateway-base-model-name"] == "llama-3-2-3b"


@pytest.mark.parametrize(
    ("adapter", "pool", "base_model"),
    [
        ("food-review", "llama-1b", FULL_1B),
        ("sql-lora", "llama-1b", FULL_1B),
        ("poems", "llama-3b", "llama-3-2-3b"),
        ("of-nobody", "untouched", "all-on-one"),
    ],
)
async def test_an_adapter_keeps_its_name_and_tells_its_base_model(
    deployed: Deployment, adapter, pool, base_model
):
    answer = await deployed.chat(adapter)

    assert (answer.status, answer.pool, answer.seen["model"]) == (200, pool, adapter)
    assert answer.seen["headers"] == {
        "x-gateway-model-name": adapter,
        "x-gateway-base-model-name": base_model,
    }


@pytest.mark.parametrize(
    ("path", "pool", "path_upstream"),
    [
        ("/v1/1b/chat/completions", "llama-1b", "/v1/chat/completions"),
        ("/v1/1b/completions", "llama-1b", "/v1/completions"),
        ("/v1/1b/embeddings?a=1&b=%2F%20c&a=2", "llama-1b", "/v1/embeddings?a=1&b=%2F%20c&a=2"),
        ("/v1/1b/completions?next=/v1/1b/x", "llama-1b", "/v1/completions?next=/v1/1b/x"),
        ("/v1/1b//completions", "llama-1b", "/v1/completions"),
        ("/v1/./1b/x/../completions", "llama-1b", "/v1/completions"),
        ("/team/llama/v1/chat/completions", "llama-1b", "/v1/chat/completions"),
        ("/v1/1b/large/chat/completions", "llama-3b", "/v1/chat/completions"),
    ],
)
async def test_a_path_prefix_selects_a_model_and_is_cut(
    deployed: Deployment, path, pool, path_upstream
):
    body = {**chat("whatever"), "input": "hello"}
    answer = await deployed.post(path, body)

    assert (answer.status, answer.pool) == (200, pool)
    assert answer.seen["path"] == path_upstream


@pytest.mark.parametrize(
    ("path", "path_upstream"),
    [
        ("/v1/1b/models", "/v1/models"),
        ("/team/llama/v1/models", "/v1/models"),
        ("/team/llama/health", "/health"),
        ("/team/llama/metrics?x=1", "/metrics"),
    ],
)
async def test_a_path_prefix_leads_every_method_and_path_to_its_server(
    deployed: Deployment, path, path_upstream
):
    server = deployed.servers["llama-1b"]
    before = server.requests[path_upstream]
    answer = await deployed.send("GET", path)

    assert (answer.status, answer.server, answer.pool) == (200, "llama-1b", "llama-1b")
    assert server.requests[path_upstream] >= before + 1


@pytest.mark.parametrize("path", ["/v1/1b", "/v1/1b/", "/v1/1b?x=1", "/team/llama"])
async def test_a_bare_path_prefix_reaches_its_server(deployed: Deployment, path):
    answer = await deployed.post(path, chat("llama-3-2-3b"))

    assert (answer.status, answer.server, answer.pool) == (404, "llama-1b", "llama-1b")


@pytest.mark.parametrize("path", ["/v1/1bx/chat/completions", "/v1/1B/chat/completions"])
async def test_only_whole_segments_of_a_path_select_a_model(deployed: Deployment, path):
    answer = await deployed.post(path, chat("llama-3-2-3b"))

    assert (answer.status, answer.server, answer.pool) == (404, "llama-3b", "llama-3b")


@pytest.mark.parametrize(
    ("model", "model_upstream"),
    [
        ("llama-3-2-3b", FULL_1B),
        ("unknown", FULL_1B),
        ("food-review", "food-review"),
        (FULL_1B, FULL_1B),
        (None, None),
    ],
)
async def test_a_path_beats_the_model_in_the_body(deployed: Deployment, model, model_upstream):
    answer = await deployed.post("/v1/1b/chat/completions", chat(model))

    assert (answer.status, answer.pool) == (200, "llama-1b")
    assert answer.seen["model"] == model_upstream
    assert answer.seen["headers"] == {
        "x-gateway-model-name": "llama-3-2-1b",
        "x-gateway-base-model-name": "llama-3-2-1b",
    }


async def test_a_pool_of_weight_zero_gets_nothing(deployed: Deployment):
    answers = [await deployed.chat("all-on-one") for _ in range(100)]

    assert Counter((answer.status, answer.pool) for answer in answers) == {(200, "llama-3b"): 100}


async def test_the_body_is_rewritten_for_the_pool_that_was_drawn(deployed: Deployment):
    answers = [await deployed.chat("by-thirds") for _ in range(60)]

    seen = {(answer.pool, answer.seen["model"]) for answer in answers}
    assert seen == {("llama-1b", FULL_1B), ("llama-3b", "by-thirds")}


@pytest.mark.parametrize("name", ["LLAMA-3-2-1B", "small ", " small", "smal", "smalll", FULL_1B])
async def test_a_name_that_differs_at_all_is_not_found(deployed: Deployment, name):
    answer = await deployed.chat(name)

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/any/path/at/all"])
async def test_a_model_is_found_on_every_path(deployed: Deployment, path):
    answer = await deployed.post(path, {**chat("llama-3-2-3b"), "input": "hello"})

    assert (answer.server, answer.pool) == ("llama-3b", "llama-3b")
