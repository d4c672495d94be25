"""Two sizes of a model: a path for each, and an A/B path at 70/30 whatever the body says.

From the multi-model load balancing demo with Llama-3.2-1B and Llama-3.2-3B.
"""

from collections import Counter
from math import sqrt

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  llama-1b: {endpoints: ["<llama-1b>"], model: meta-llama/Llama-3.2-1B-Instruct}
  llama-3b: {endpoints: ["<llama-3b>"]}
models:
  llama-3-2-1b: {pool: llama-1b, paths: [/v1/1b]}
  llama-3-2-3b: {pool: llama-3b, paths: [/v1/3b]}
  auto:
    split: {llama-1b: 70, llama-3b: 30}
    paths: [/v1/ab-test]
"""
REQUESTS = 400

deployed = shared_deployment(REGISTRY, ("llama-1b", "llama-3b"))


def body(model: str, text: str) -> bytes:
    """Return the body as the demo writes it."""
    return f'{{"model": "{model}", "messages": [{{"role": "user", "content": "{text}"}}]}}'.encode()


@pytest.mark.parametrize(
    ("path", "model", "server"),
    [
        ("/v1/1b/chat/completions", "llama-3-2-1b", "llama-1b"),
        ("/v1/3b/chat/completions", "llama-3-2-3b", "llama-3b"),
    ],
)
async def test_a_path_selects_its_model(deployed: Deployment, path, model, server):
    answer = await deployed.post(path, body(model, f"Hello from {server[-2:].upper()} model!"))

    assert (answer.status, answer.server, answer.pool) == (200, server, server)
    assert answer.seen["path"] == "/v1/chat/completions"


async def test_an_ab_path_splits_traffic_70_to_30_and_metrics_show_it(deployed: Deployment):
    before = await upstream_requests(deployed)
    answers = [
        await deployed.post("/v1/ab-test/chat/completions", body("auto", f"Test A/B routing #{i}"))
        for i in range(REQUESTS)
    ]
    after = await upstream_requests(deployed)

    assert {answer.status for answer in answers} == {200}
    assert {answer.seen["path"] for answer in answers} == {"/v1/chat/completions"}
    assert {answer.seen["model"] for answer in answers if answer.server == "llama-1b"} == {
        "meta-llama/Llama-3.2-1B-Instruct"
    }
    answered_by = Counter(answer.server for answer in answers)
    share = answered_by["llama-1b"] / REQUESTS
    assert abs(share - 0.7) <= max(0.10, 4.5 * sqrt(0.7 * 0.3 / REQUESTS))
    assert after - before == answered_by


async def test_the_gateway_has_accepted_and_resolved_every_route(deployed: Deployment):
    status = await deployed.status()

    assert status["registry"]["error"] is None
    assert [
        (node["connected"], node["converged"], node["rejected"]) for node in status["nodes"]
    ] == [(True, True, None)]
    assert {node["revision"] for node in status["nodes"]} == {status["revision"]}


async def upstream_requests(deployed: Deployment) -> Counter[str]:
    """Return how many requests Envoy has sent to each pool, as its own metrics count them."""
    stats = await deployed.stats(r"^cluster\.pool/.*upstream_rq_total$")
    return Counter({name.split("/")[1].split(".")[0]: value for name, value in stats.items()})
