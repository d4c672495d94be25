"""Each application asks for a model under a name of its own: "chatbot" and "recommender".

From the Gateway API guide to serving several generative models: Gemma3 for a chatbot, DeepSeek
for recommendations.
"""

import hashlib

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  gemma3: {endpoints: ["<gemma3>"]}
  deepseek-r1: {endpoints: ["<deepseek-r1>"]}
models:
  chatbot: {pool: gemma3}
  recommender: {pool: deepseek-r1}
"""
TO_CHATBOT = b"""{
"model": "chatbot",
"prompt": "What is the color of the sky",
"max_tokens": 100,
"temperature": 0
}"""
TO_RECOMMENDER = b"""{
"model": "recommender",
"prompt": "Give me restaurant recommendations in Paris",
"max_tokens": 100,
"temperature": 0
}"""

deployed = shared_deployment(REGISTRY, ("gemma3", "deepseek-r1"))


@pytest.mark.parametrize(
    ("body", "name", "server"),
    [(TO_CHATBOT, "chatbot", "gemma3"), (TO_RECOMMENDER, "recommender", "deepseek-r1")],
)
async def test_each_application_reaches_its_model(deployed: Deployment, body, name, server):
    answers = [await deployed.post("/v1/completions", body) for _ in range(3)]

    for answer in answers:
        assert (answer.status, answer.server, answer.pool) == (200, server, server)
        assert answer.seen["headers"]["x-gateway-model-name"] == name
        assert answer.seen["body_sha256"] == hashlib.sha256(body).hexdigest()


async def test_an_application_without_a_model_is_not_found(deployed: Deployment):
    answer = await deployed.post("/v1/completions", TO_CHATBOT.replace(b"chatbot", b"translator"))

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_the_routes_are_accepted_and_resolved(deployed: Deployment):
    status = await deployed.status()

    [node] = status["nodes"]
    assert (node["connected"], node["converged"], node["rejected"]) == (True, True, None)
