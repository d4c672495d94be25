"""Groups of Envoys: each gets the gateway of its node.cluster, or none."""

from contextlib import asynccontextmanager

import pytest

from tests.support.deployment import Deployment, deployment
from xds_server.demo.envoy import running_envoy
from xds_server.demo.stack import free_address

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
gateways:
  public: {listen: "<gateway>", node_cluster: default, models: [chat, split]}
  internal: {listen: "INTERNAL", node_cluster: internal, response_headers: false}
pools:
  first: {endpoints: ["<first>"], adapters: [lora]}
  second: {endpoints: ["<second>"], adapters: [hidden-lora]}
models:
  chat: {pool: first, aliases: [talk], paths: [/v1/chat-only]}
  batch: {pool: second, paths: [/v1/batch]}
  split: {split: {first: 70, second: 30}}
"""
EVERYTHING = ["batch", "chat", "hidden-lora", "lora", "split", "talk"]


class OtherEnvoy:
    """A client of a second Envoy of the same deployment."""

    def __init__(self, deployed: Deployment, url: str, admin_address: str) -> None:
        self._deployed = deployed
        self._url = url
        self.admin_address = admin_address

    async def get(self, path: str):
        async with self._deployed.session.get(self._url + path) as response:
            return response.status, await response.json()

    async def complete(self, model: str):
        body = {"model": model, "prompt": "x"}
        async with self._deployed.session.post(
            f"{self._url}/v1/completions", json=body
        ) as response:
            return response.status, dict(response.headers), await response.json()

    async def stats(self, pattern: str) -> dict[str, int]:
        url = f"http://{self.admin_address}/stats?format=json&filter={pattern}"
        async with self._deployed.session.get(url) as response:
            stats = (await response.json())["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


@asynccontextmanager
async def two_envoys(variant, folder, node_cluster: str):
    """Run a deployment and a second Envoy of *node_cluster*."""
    internal = free_address()
    template = REGISTRY.replace("INTERNAL", str(internal))
    other_folder = folder / "second"
    other_folder.mkdir()
    async with deployment(template, ("first", "second"), folder, variant) as deployed:
        bootstrap = deployed.bootstrap("envoy-2", node_cluster)
        async with running_envoy(bootstrap, other_folder) as envoy:
            await deployed.converged()
            yield deployed, OtherEnvoy(deployed, f"http://{internal}", envoy.admin_address)


async def test_each_group_listens_and_routes_as_its_gateway_says(variant, tmp_path):
    async with two_envoys(variant, tmp_path, "internal") as (deployed, other):
        public_names = (await deployed.send("GET", "/v1/models")).json["data"]
        _, internal_names = await other.get("/v1/models")
        public = await deployed.chat("chat")
        refused = await deployed.chat("batch")
        by_path = await deployed.send("GET", "/v1/batch/models")
        status, headers, body = await other.complete("batch")
        other_by_path, _ = await other.get("/v1/batch/models")

    # The adapters of a pool come with any of its models.
    assert [each["id"] for each in public_names] == ["chat", "hidden-lora", "lora", "split", "talk"]
    assert [each["id"] for each in internal_names["data"]] == EVERYTHING
    assert (public.status, public.pool) == (200, "first")
    assert (refused.status, refused.error["code"]) == (404, "model_not_found")
    assert (by_path.status, other_by_path) == (400, 200)
    assert (status, body["simulate"]["server"]) == (200, "second")
    assert "x-gateway-pool" not in headers


async def test_one_edit_reaches_both_groups(variant, tmp_path):
    async with two_envoys(variant, tmp_path, "internal") as (deployed, other):
        await deployed.edit("chat: {pool: first", "chat: {pool: second")
        public = await deployed.chat("chat")
        _, _, internal = await other.complete("chat")
        status = await deployed.status()

    assert (public.server, internal["simulate"]["server"]) == ("second", "second")
    assert [(node["id"], node["cluster"], node["converged"]) for node in status["nodes"]] == [
        ("envoy-1", "default", True),
        ("envoy-2", "internal", True),
    ]
    assert {node["revision"] for node in status["nodes"]} == {status["revision"]}


async def test_the_metrics_of_each_envoy_show_its_share_of_a_split(variant, tmp_path):
    async with two_envoys(variant, tmp_path, "internal") as (deployed, other):
        for _ in range(100):
            await deployed.chat("split")
            await other.complete("split")
        counted = [await each.stats("pool/.*upstream_rq_total$") for each in (deployed, other)]

    for totals in counted:
        assert sum(totals.values()) == 100
        # 4.5 standard deviations of 100 draws
        assert abs(totals["cluster.pool/first.upstream_rq_total"] - 70) <= 21


async def test_an_envoy_of_a_group_without_a_gateway_starts_and_is_told_nothing(variant, tmp_path):
    async with two_envoys(variant, tmp_path, "nobody") as (deployed, other):
        async with deployed.session.get(
            f"http://{other.admin_address}/listeners?format=json"
        ) as response:
            listeners = await response.json()
        status = await deployed.status()
        public = await deployed.chat("chat")

    assert listeners.get("listener_statuses", []) == []
    assert [(node["id"], node["connected"], node["converged"]) for node in status["nodes"]] == [
        ("envoy-1", True, True),
        ("envoy-2", True, True),
    ]
    assert public.status == 200


async def test_an_envoy_without_a_gateway_gets_one_when_the_registry_does(variant, tmp_path):
    async with two_envoys(variant, tmp_path, "nobody") as (deployed, other):
        await deployed.edit("node_cluster: internal", "node_cluster: nobody")
        status, _, body = await other.complete("batch")
        await deployed.edit("node_cluster: nobody", "node_cluster: internal")
        nodes = (await deployed.status())["nodes"]

    assert (status, body["simulate"]["server"]) == (200, "second")
    assert [node["rejected"] for node in nodes] == [None, None]


BY_NODE = """\
version: 1
gateways:
  one: {listen: "<gateway>", node_cluster: default, node_id: "envoy-1"}
  two: {listen: "INTERNAL", node_cluster: default, node_id: "canary-*", node_metadata: {zone: a}}
pools:
  first: {endpoints: ["<first>"]}
models:
  chat: {pool: first}
"""


async def test_an_envoy_gets_the_gateway_of_its_id_and_metadata_or_is_told_of_none(
    variant, tmp_path
):
    internal = free_address()
    template = BY_NODE.replace("INTERNAL", str(internal))
    other_folder = tmp_path / "second"
    other_folder.mkdir()
    async with deployment(template, ("first",), tmp_path, variant) as deployed:
        bootstrap = deployed.bootstrap("canary-7", node_metadata={"zone": "a"})
        async with running_envoy(bootstrap, other_folder) as envoy:
            await deployed.converged()
            other = OtherEnvoy(deployed, f"http://{internal}", envoy.admin_address)
            answers = (await deployed.chat("chat")).status, (await other.complete("chat"))[0]
            told = {node["id"]: node["gateway"] for node in (await deployed.status())["nodes"]}

            await deployed.edit("zone: a", "zone: b")
            listeners = await other.stats("listener_manager.total_listeners_active")
            nodes = {node["id"]: node for node in (await deployed.status())["nodes"]}

    assert answers == (200, 200)
    assert told == {"envoy-1": "one", "canary-7": "two"}
    assert nodes["canary-7"]["gateway"] == ""
    assert nodes["canary-7"]["converged"]
    assert set(listeners.values()) == {0}
