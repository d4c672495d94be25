"""Several models behind one entry point, by the name in the body; one name for several versions.

From the AIBrix guide to multi-model routing with DeepSeek-R1-Qwen-1.5B and Llama-3.2-1B, and its
last section about aliases and weights.
"""

from collections import Counter
from math import sqrt

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  deepseek-r1-qwen-1b5: {endpoints: ["<deepseek>"]}
  llama-3-2-1b: {endpoints: ["<llama>"]}
  llama-v1: {endpoints: ["<llama>"], model: llama-3-2-1b-amd}
  llama-v2: {endpoints: ["<llama-v2>"], model: llama-3-2-1b-amd-v2}
models:
  deepseek-r1-qwen-1b5-amd: {pool: deepseek-r1-qwen-1b5, aliases: [deepseek]}
  llama-3-2-1b-amd: {pool: llama-3-2-1b}
  llama: {split: {llama-v1: 1, llama-v2: 1}}
  llama-ab: {split: {llama-v1: 90, llama-v2: 10}}
"""
TO_DEEPSEEK = b"""{
    "model": "deepseek-r1-qwen-1b5-amd",
    "prompt": "The capital of France is",
    "max_tokens": 5
  }"""
TO_LLAMA = b"""{
    "model": "llama-3-2-1b-amd",
    "prompt": "The capital of Germany is",
    "max_tokens": 5
  }"""
REQUESTS = 200

deployed = shared_deployment(REGISTRY, ("deepseek", "llama", "llama-v2"))


@pytest.mark.parametrize(
    ("body", "server", "model"),
    [
        (TO_DEEPSEEK, "deepseek", "deepseek-r1-qwen-1b5-amd"),
        (TO_LLAMA, "llama", "llama-3-2-1b-amd"),
    ],
)
async def test_the_model_in_the_body_selects_the_server(deployed: Deployment, body, server, model):
    asked_before = deployed.servers[server].requests["/v1/completions"]
    answer = await deployed.post("/v1/completions", body)

    assert (answer.status, answer.server) == (200, server)
    assert answer.seen["model"] == model
    assert answer.json["usage"]["completion_tokens"] == 5
    # The guide looks into the log of the server that should have been asked.
    assert deployed.servers[server].requests["/v1/completions"] == asked_before + 1


async def test_an_alias_leads_to_the_server_of_its_model(deployed: Deployment):
    answer = await deployed.post(
        "/v1/completions", TO_DEEPSEEK.replace(b"deepseek-r1-qwen-1b5-amd", b"deepseek")
    )

    assert (answer.status, answer.server) == (200, "deepseek")
    assert answer.seen["headers"]["x-gateway-base-model-name"] == "deepseek-r1-qwen-1b5-amd"


@pytest.mark.parametrize(("name", "share_of_v1"), [("llama", 0.5), ("llama-ab", 0.9)])
async def test_one_name_leads_to_several_versions_by_weight(
    deployed: Deployment, name, share_of_v1
):
    body = TO_LLAMA.replace(b"llama-3-2-1b-amd", name.encode())
    answers = [await deployed.post("/v1/completions", body) for _ in range(REQUESTS)]

    assert {answer.status for answer in answers} == {200}
    assert {(answer.server, answer.seen["model"]) for answer in answers} == {
        ("llama", "llama-3-2-1b-amd"),
        ("llama-v2", "llama-3-2-1b-amd-v2"),
    }
    share = Counter(answer.pool for answer in answers)["llama-v1"] / REQUESTS
    allowed = max(0.10, 4.5 * sqrt(share_of_v1 * (1 - share_of_v1) / REQUESTS))
    assert abs(share - share_of_v1) <= allowed
