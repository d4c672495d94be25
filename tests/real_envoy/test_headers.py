"""Routing headers: a client cannot send them, a server cannot fake them, and what they tell."""

from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import web
from multidict import CIMultiDict

from tests.support.deployment import Deployment, deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>", response_headers: SHOWN}
pools:
  first: {endpoints: ["<first>"], adapters: [lora]}
  second: {endpoints: ["<second>"]}
  liar: {endpoints: ["<liar>"], health_check: false}
  100% "odd" pööl: {endpoints: ["<second>"]}
models:
  one: {pool: first, paths: [/v1/one]}
  two: {pool: second}
  lies: {pool: liar}
  odd: {pool: 100% "odd" pööl}
"""


@asynccontextmanager
async def lying_server():
    """Run a server that says that it is another pool; yields its address."""

    async def lie(_request):
        lies = CIMultiDict([("x-gateway-pool", "first"), ("X-Gateway-Endpoint", "10.0.0.1:1")])
        lies.add("x-gateway-pool", "second")
        lies.add("x-gateway-model-name", "one")
        return web.json_response({}, headers=lies)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lie)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield "{}:{}".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running(folder, variant, *, shown: bool):
    async with lying_server() as liar:
        template = REGISTRY.replace("<liar>", liar).replace("SHOWN", str(shown).lower())
        async with deployment(template, ("first", "second"), folder, variant) as deployed:
            yield deployed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(variant, tmp_path_factory):
    async with running(tmp_path_factory.mktemp("shown"), variant, shown=True) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def silent(variant, tmp_path_factory):
    async with running(tmp_path_factory.mktemp("silent"), variant, shown=False) as started:
        yield started


SPOOFED = [
    {"x-gateway-model-name": "two"},
    {"X-Gateway-Model-Name": "two"},
    CIMultiDict([("x-gateway-model-name", "two"), ("x-gateway-model-name", "lies")]),
    {"x-gateway-model-name": "two,one"},
    {"x-gateway-base-model-name": "two", "x-gateway-pool": "second", "x-gateway-other": "x"},
]


@pytest.mark.parametrize("headers", SPOOFED)
async def test_a_routing_header_of_a_client_is_removed(deployed: Deployment, headers):
    body = b'{"model": "lora"}'
    answer = await deployed.send("POST", "/v1/completions", data=body, headers=headers)

    assert (answer.status, answer.pool) == (200, "first")
    assert answer.seen["headers"] == {
        "x-gateway-model-name": "lora",
        "x-gateway-base-model-name": "one",
    }


@pytest.mark.parametrize("headers", SPOOFED)
async def test_a_routing_header_of_a_client_does_not_beat_a_path(deployed: Deployment, headers):
    answer = await deployed.send("POST", "/v1/one/completions", data=b"{}", headers=headers)

    assert (answer.status, answer.pool) == (200, "first")
    assert answer.seen["headers"] == {
        "x-gateway-model-name": "one",
        "x-gateway-base-model-name": "one",
    }


@pytest.mark.parametrize("headers", SPOOFED)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/chat/completions", b"{}"),
        ("POST", "/v1/chat/completions", None),
        ("DELETE", "/v1/files/x", None),
    ],
)
async def test_a_routing_header_of_a_client_names_no_model(
    deployed: Deployment, headers, method, path, body
):
    answer = await deployed.send(method, path, data=body, headers=headers)

    assert (answer.status, answer.error["code"]) == (400, "missing_model")


@pytest.mark.parametrize(("model", "server"), [("one", "first"), ("two", "second")])
async def test_an_answer_names_its_pool_and_its_server(deployed: Deployment, model, server):
    answer = await deployed.chat(model)

    assert answer.headers["x-gateway-pool"] == server
    assert answer.headers["x-gateway-endpoint"] == deployed.servers[server].address


async def test_a_pool_of_any_name_can_be_told(deployed: Deployment):
    answer = await deployed.chat("odd")

    # aiohttp shows bytes outside ASCII as surrogates.
    told = answer.headers["x-gateway-pool"].encode("utf-8", "surrogateescape").decode()
    assert (answer.status, told) == (200, '100% "odd" pööl')


async def test_a_server_cannot_claim_to_be_another_one(deployed: Deployment):
    async with deployed.session.post(
        f"{deployed.url}/v1/completions", json={"model": "lies"}
    ) as answer:
        pools, endpoints = (
            answer.headers.getall(f"x-gateway-{what}") for what in ("pool", "endpoint")
        )

    assert pools == ["liar"]
    assert len(endpoints) == 1
    assert endpoints != ["10.0.0.1:1"]


async def test_answers_of_the_gateway_itself_name_no_server(deployed: Deployment):
    listed = await deployed.send("GET", "/v1/models")
    unknown = await deployed.chat("unknown")
    missing = await deployed.post("/v1/completions", {})

    for answer in (listed, unknown, missing):
        assert not {"x-gateway-pool", "x-gateway-endpoint"} & set(answer.headers)


@pytest.mark.parametrize("model", ["one", "lora", "two", "odd", "lies"])
async def test_answers_tell_nothing_if_the_gateway_is_told_so(silent: Deployment, model):
    answer = await silent.chat(model)
    by_path = await silent.post("/v1/one/completions", {})

    assert (answer.status, by_path.status) == (200, 200)
    for each in (answer, by_path):
        assert not {"x-gateway-pool", "x-gateway-endpoint"} & set(each.headers)
