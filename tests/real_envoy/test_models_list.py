"""`GET /v1/models` lists what can be asked for, no more and no less."""

import json

import pytest
from openai import AsyncOpenAI

from tests.support.deployment import Deployment, deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  llama-1b: {endpoints: ["<server>"], model: meta-llama/Llama-3.2-1B, adapters: [sql, poems]}
  llama-3b: {endpoints: ["<server>"]}
  unused: {endpoints: ["<server>"]}
models:
  small: {pool: llama-1b, aliases: [tiny, модель/ü], paths: [/v1/small]}
  'a "b" 100%': {pool: llama-3b}
"""
NAMES = ["small", "tiny", "модель/ü", 'a "b" 100%', "sql", "poems"]


async def listed(deployed: Deployment) -> list[str]:
    answer = await deployed.send("GET", "/v1/models")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["object"] == "list"
    return [entry["id"] for entry in answer.json["data"]]


async def test_every_name_that_routes_is_listed_and_every_name_that_is_listed_routes(
    variant, tmp_path
):
    async with deployment(REGISTRY, ("server",), tmp_path, variant) as deployed:
        names = await listed(deployed)
        statuses = {name: (await deployed.chat(name)).status for name in names}

    assert names == sorted(NAMES)
    assert set(statuses.values()) == {200}


async def test_the_list_has_the_shape_that_openai_documents(variant, tmp_path):
    async with deployment(REGISTRY, ("server",), tmp_path, variant) as deployed:
        entries = (await deployed.send("GET", "/v1/models")).json["data"]
        with_query = await deployed.send("GET", "/v1/models?limit=20")
        head = await deployed.send("HEAD", "/v1/models")
        post = await deployed.post("/v1/models", {"model": "small"})

    for entry in entries:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert isinstance(entry["owned_by"], str)
    parents = {entry["id"]: entry.get("parent") for entry in entries}
    assert (parents["sql"], parents["tiny"], parents["small"]) == (
        "meta-llama/Llama-3.2-1B",
        "small",
        None,
    )
    assert with_query.json["data"] == entries
    assert (head.status, head.body) == (200, b"")
    # Nothing but GET is answered by the gateway itself.
    assert (post.status, post.server) == (405, "server")


async def test_openais_client_reads_the_list(variant, tmp_path):
    async with (
        deployment(REGISTRY, ("server",), tmp_path, variant) as deployed,
        AsyncOpenAI(base_url=f"{deployed.url}/v1", api_key="none", max_retries=0) as client,
    ):
        models = [model.id async for model in client.models.list()]

    assert models == sorted(NAMES)


async def test_the_list_follows_every_edit(variant, tmp_path):
    async with deployment(REGISTRY, ("server",), tmp_path, variant) as deployed:
        await deployed.edit("models:\n", "models:\n  added: {pool: llama-3b}\n")
        with_added = await listed(deployed)
        await deployed.edit("adapters: [sql, poems]", "adapters: [poems]")
        without_sql = await listed(deployed)
        await deployed.edit("aliases: [tiny,", "aliases: [small-2,")
        with_other_alias = await listed(deployed)

    assert with_added == sorted([*NAMES, "added"])
    assert without_sql == sorted({*NAMES, "added"} - {"sql"})
    assert with_other_alias == sorted({*NAMES, "added", "small-2"} - {"sql", "tiny"})


async def test_two_thousand_models_are_listed_and_routed(variant, tmp_path):
    names = [f"org-{i % 7}/model-{i:04}" for i in range(2000)]
    models = "".join(f"  {json.dumps(name)}: {{pool: p}}\n" for name in names)
    registry = f'version: 1\npools: {{p: {{endpoints: ["<server>"]}}}}\nmodels:\n{models}'
    async with deployment(registry, ("server",), tmp_path, variant) as deployed:
        found = await listed(deployed)
        answers = [await deployed.chat(name) for name in (names[0], names[1000], names[1999])]

    assert found == sorted(names)
    assert [answer.status for answer in answers] == [200, 200, 200]
