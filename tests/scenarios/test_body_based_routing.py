"""Two base models on one path, told apart by the model name in the body.

From the Gateway API guide to serving several models with body-based routing: Llama-3.1-8B and
Phi-4-mini, asked for chats and completions.
"""

import hashlib
from typing import Any

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  vllm-llama3-8b-instruct: {endpoints: ["<vllm-llama3-8b-instruct>"]}
  vllm-phi4-mini-instruct: {endpoints: ["<vllm-phi4-mini-instruct>"]}
models:
  meta-llama/Llama-3.1-8B-Instruct: {pool: vllm-llama3-8b-instruct, timeout: 300s}
  microsoft/Phi-4-mini-instruct: {pool: vllm-phi4-mini-instruct, timeout: 300s}
"""
LLAMA, PHI = "meta-llama/Llama-3.1-8B-Instruct", "microsoft/Phi-4-mini-instruct"
TO_LLAMA = b"""{
                "model": "meta-llama/Llama-3.1-8B-Instruct",
                "prompt": "Linux is said to be an open source kernel because ",
                "max_tokens": 100,
                "temperature": 0
          }"""
TO_PHI = b"""{
                "model": "microsoft/Phi-4-mini-instruct",
                "prompt": "2+2 is ",
                "max_tokens": 20,
                "temperature": 0
          }"""

deployed = shared_deployment(REGISTRY, ("vllm-llama3-8b-instruct", "vllm-phi4-mini-instruct"))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    ("body", "pool", "model"),
    [
        (TO_LLAMA, "vllm-llama3-8b-instruct", LLAMA),
        (TO_PHI, "vllm-phi4-mini-instruct", PHI),
    ],
)
async def test_each_model_is_answered_by_its_own_pool_on_the_same_path(
    deployed: Deployment, path, body, pool, model
):
    answers = [await deployed.post(path, body) for _ in range(3)]

    for answer in answers:
        assert (answer.status, answer.server, answer.pool) == (200, pool, pool)
        assert answer.seen["path"] == path
        assert answer.seen["headers"]["x-gateway-model-name"] == model
        assert answer.seen["body_sha256"] == hashlib.sha256(body).hexdigest()


async def test_both_routes_are_accepted_and_resolved(deployed: Deployment):
    status = await deployed.status()

    assert status["registry"]["error"] is None
    [node] = status["nodes"]
    assert (node["connected"], node["converged"], node["rejected"]) == (True, True, None)
    assert node["revision"] == status["revision"]
    assert set(await routes(deployed)) == {LLAMA, PHI}


async def test_both_routes_give_a_request_300_s(deployed: Deployment):
    timeouts = {name: route["route"]["timeout"] for name, route in (await routes(deployed)).items()}

    assert timeouts == {LLAMA: "300s", PHI: "300s"}


async def routes(deployed: Deployment) -> dict[str, Any]:
    """Return the route of each model as Envoy has it."""
    dump = await deployed.admin("/config_dump?resource=dynamic_route_configs")
    configs = [entry["route_config"] for entry in dump["configs"]]
    return {
        config["name"].removeprefix("model/"): config["virtual_hosts"][0]["routes"][0]
        for config in configs
        if config["name"].startswith("model/")
    }
