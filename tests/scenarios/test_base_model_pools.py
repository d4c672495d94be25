"""Pools of base models with an allowlist of adapters, and one pool that serves several models.

From the manifests of "pattern 2": separate pools for Qwen2.5-3B and Phi-3-mini behind the header
of the base model, with health checks of `/health`; and the variant with one pool for all models.
"""

import json
from typing import Any

import pytest

from tests.support.deployment import Deployment, shared_deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

QWEN, PHI = "Qwen/Qwen2.5-3B-Instruct", "microsoft/Phi-3-mini-4k-instruct"
REGISTRY = """\
version: 1
pools:
  qwen-pool:
    endpoints: ["<qwen>"]
    adapters: [qwen-sql]
  phi-pool:
    endpoints: ["<phi>"]
    model: microsoft/Phi-3-mini-4k-instruct
    adapters: [phi-summaries, phi-poems]
  gaie-pattern1:
    endpoints: ["<shared-a>", "<shared-b>"]
models:
  Qwen/Qwen2.5-3B-Instruct: {pool: qwen-pool}
  microsoft/Phi-3-mini-4k-instruct: {pool: phi-pool}
  facebook/opt-125m: {pool: gaie-pattern1}
  google/gemma-3-1b-it: {pool: gaie-pattern1}
"""
DISCOVERED = ("facebook/opt-125m", "google/gemma-3-1b-it")

deployed = shared_deployment(
    REGISTRY,
    {
        "qwen": {"model": QWEN, "adapters": ["qwen-sql"], "strict_model": True},
        "phi": {
            "model": PHI,
            "adapters": ["phi-summaries", "phi-poems"],
            "strict_model": True,
        },
        "shared-a": {"model": DISCOVERED[0], "adapters": DISCOVERED, "strict_model": True},
        "shared-b": {"model": DISCOVERED[1], "adapters": DISCOVERED, "strict_model": True},
    },
)


@pytest.mark.parametrize(
    ("name", "pool", "base_model"),
    [
        (QWEN, "qwen-pool", QWEN),
        ("qwen-sql", "qwen-pool", QWEN),
        (PHI, "phi-pool", PHI),
        ("phi-summaries", "phi-pool", PHI),
        ("phi-poems", "phi-pool", PHI),
    ],
)
async def test_a_base_model_and_its_adapters_reach_its_pool_with_the_base_model_header(
    deployed: Deployment, name, pool, base_model
):
    answer = await deployed.chat(name)

    assert (answer.status, answer.pool, answer.server) == (200, pool, pool.removesuffix("-pool"))
    assert answer.seen["headers"]["x-gateway-base-model-name"] == base_model
    assert answer.seen["model"] == name


async def test_an_adapter_outside_the_allowlist_is_not_found(deployed: Deployment):
    answer = await deployed.chat("phi-legal")

    assert (answer.status, answer.server) == (404, None)
    assert answer.error["code"] == "model_not_found"
    assert "phi-legal" in answer.error["message"]


async def test_one_pool_serves_every_model_that_its_servers_have(deployed: Deployment):
    answers = {name: [await deployed.chat(name) for _ in range(20)] for name in DISCOVERED}

    for name, each in answers.items():
        assert {(answer.status, answer.pool) for answer in each} == {(200, "gaie-pattern1")}
        assert {answer.seen["model"] for answer in each} == {name}
        assert {answer.server for answer in each} == {"shared-a", "shared-b"}


async def test_every_server_is_asked_for_its_health_every_15_s(deployed: Deployment):
    dump = await deployed.admin("/config_dump?resource=dynamic_active_clusters")
    pools = [entry["cluster"] for entry in dump["configs"] if "/" in entry["cluster"]["name"]]

    assert {cluster["name"] for cluster in pools} == {
        "pool/qwen-pool",
        "pool/phi-pool",
        "pool/gaie-pattern1",
    }
    for cluster in pools:
        [check] = cluster["health_checks"]
        assert (check["interval"], check["timeout"]) == ("15s", "15s")
        assert check["http_health_check"]["path"] == "/health"
    for name, server in deployed.servers.items():
        assert server.requests["/health"] >= 1, name
    assert await health_of_servers(deployed) == {
        server.address: "HEALTHY" for server in deployed.servers.values()
    }


async def test_every_pool_is_accepted_and_resolved(deployed: Deployment):
    status = await deployed.status()

    [node] = status["nodes"]
    assert (node["connected"], node["converged"], node["rejected"]) == (True, True, None)


async def health_of_servers(deployed: Deployment) -> dict[str, Any]:
    """Return what Envoy thinks of each server."""
    statuses = (await deployed.admin("/clusters?format=json"))["cluster_statuses"]
    hosts = [
        host
        for cluster in statuses
        if cluster["name"].startswith("pool/")
        for host in cluster["host_statuses"]
    ]
    return {
        "{address}:{port_value}".format(**host["address"]["socket_address"]): host["health_status"][
            "eds_health_status"
        ]
        if set(host["health_status"]) == {"eds_health_status"}
        else json.dumps(host["health_status"])
        for host in hosts
    }
