from __future__ import annotations

from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from xds_server.status.registry import ServedRegistry, registry_route

DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
TEXT = f"""\
version: 1  # a comment may hold anything, sk-secret too
pools: {{a: {{endpoints: [10.0.0.1:8000]}}}}
models: {{m: {{pool: a}}}}
auth: {{clients: {{team: {{key_sha256: {DIGEST}}}}}}}
"""


@asynccontextmanager
async def serving(served):
    app = web.Application()
    app.add_routes([registry_route(served)])
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_the_registry_is_told_without_comments_and_secrets():
    async with serving(lambda: ServedRegistry("9f2c", "registry.yaml", TEXT.encode())) as client:
        response = await client.get("/registry")
        text, answer = await response.text(), await response.json()

    assert response.status == 200
    assert (answer["revision"], answer["path"]) == ("9f2c", "registry.yaml")
    assert answer["registry"]["models"] == {"m": {"pool": "a"}}
    assert DIGEST not in text
    assert "sk-secret" not in text


async def test_it_is_that_of_the_moment():
    served = [ServedRegistry("1", "r", TEXT.encode())]
    async with serving(lambda: served[-1]) as client:
        first = await (await client.get("/registry")).json()
        served.append(ServedRegistry("2", "r", TEXT.replace("models: {m:", "models: {n:").encode()))
        second = await (await client.get("/registry")).json()

    assert list(first["registry"]["models"]) == ["m"]
    assert (second["revision"], list(second["registry"]["models"])) == ("2", ["n"])


async def test_nothing_is_there_before_the_first_content():
    async with serving(lambda: None) as client:
        response = await client.get("/registry")

    assert response.status == 503
