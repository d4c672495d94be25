"""What the loader accepts, a real Envoy accepts, and does with it what `explain` says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from snapshots.explain import Explanation, Request, explain
from snapshots.ir.model import Gateway
from snapshots.ir.translate import translate
from snapshots.registry.loader import load_registry
from tests.support.deployment import Deployment, deployment
from tests.support.registries import registries, yaml_of

pytestmark = pytest.mark.envoy

SERVERS = ("a", "b")
NOBODY = ("127.0.0.1:1", "[::1]:1", "localhost:1")
"""Addresses at which nothing listens."""
UNKNOWN = "no model has this name"
MAY_FAIL = {503, 504}
"""Statuses of Envoy, where nobody listens, or a registry allows a millisecond only."""

GATEWAYS = st.fixed_dictionaries(
    {"default": st.fixed_dictionaries({"listen": st.just("<gateway>")})},
    optional={"other": st.just({"node_cluster": "other"})},
)
ADDRESSES = st.sampled_from([*(f"<{name}>" for name in SERVERS), *NOBODY])


@dataclass
class Running:
    """A deployment, in a loop that runs while something is asked of it."""

    runner: asyncio.Runner
    deployed: Deployment


@pytest.fixture(scope="module")
def running(variant, tmp_path_factory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("deployment")
    with asyncio.Runner() as runner:
        context = deployment("version: 1\n", SERVERS, folder, variant)
        deployed = runner.run(context.__aenter__())
        try:
            yield Running(runner, deployed)
        finally:
            runner.run(context.__aexit__(None, None, None))


@settings(
    max_examples=12,
    deadline=None,
    database=None,
    # Without making failures smaller: that takes minutes here.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=registries(ADDRESSES, GATEWAYS))
def test_envoy_takes_it_and_routes_as_explained(running, data):
    text = running.deployed.fill(yaml_of(data).decode())
    note(text)

    running.runner.run(check(running.deployed, text))


async def check(deployed: Deployment, text: str) -> None:
    await accepted(deployed, text)
    registry = load_registry(text.encode(), "registry.yaml")
    [gateway] = (g for g in translate(registry).gateways if g.name == "default")
    async with client(deployed) as session:
        for request in requests(gateway):
            await compare(session, gateway, request)


async def accepted(deployed: Deployment, text: str) -> None:
    """Serve the registry *text* and wait until Envoy runs it; fail if it refuses anything."""
    try:
        await deployed.write(text)
        async with asyncio.timeout(10):
            # An ACK comes before the last worker of Envoy has a changed listener.
            while await unsettled(deployed):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.005)
            # The companion stands still, like this loop, while an example is drawn.
            await deployed.companions_used(1)
    except TimeoutError:
        raise AssertionError(f"not converged: {await deployed.status()}") from None
    rejected = await deployed.stats(r"\.update_rejected$")
    assert len(rejected) > 2
    assert {name for name, count in rejected.items() if count} == set()
    [node] = (await deployed.status())["nodes"]
    assert node["rejected"] is None


async def unsettled(deployed: Deployment) -> bool:
    pattern = r"^listener_manager\.total_listeners_warming$"
    return any((await deployed.stats(pattern)).values())


@asynccontextmanager
async def client(deployed: Deployment) -> AsyncIterator[aiohttp.ClientSession]:
    """Make a session whose every request has a new connection: an old one has an old listener."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(deployed.url, connector=connector) as session:
        yield session


def requests(gateway: Gateway) -> Iterator[Request]:
    """Yield a request for each routable name and path, and some that are none of those."""
    names = [route.name for route in gateway.routes]
    for name in names:
        yield Request(name)
    for path_route in gateway.path_routes:
        if path_route.replacement == "/v2":  # the servers know no such API
            continue
        call = "/chat/completions?a=b" if path_route.replacement else "/v1/chat/completions"
        for model in (*names[:1], UNKNOWN):
            yield Request(model, path_route.prefix + call)
    yield Request(UNKNOWN)
    yield Request(None)
    yield Request("")
    yield Request(None, "/v1/models", "GET")
    yield Request(None, "/v1/models", "HEAD")
    yield Request(None, "/v1/chat/completions", "GET")


async def compare(session: aiohttp.ClientSession, gateway: Gateway, request: Request) -> None:
    """Send *request* and compare what comes of it with what is explained."""
    expected = explain(gateway, request)
    named = {} if request.model is None else {"model": request.model}
    message = {"role": "user", "content": "Hello"}
    body = {**named, "messages": [message]} if request.method == "POST" else None
    async with session.request(request.method, request.path, json=body) as answer:
        found = parsed(await answer.text()) if request.method != "HEAD" else None
    told = f"{request}: {answer.status} {found}, but {expected}"

    if expected.status is not None:
        assert answer.status == expected.status, told
    elif "x-simulate-server" in answer.headers:
        assert answer.status == 200, told
        seen = found["simulate"]
        outcome = (answer.headers["x-gateway-pool"], seen["path"], seen["model"])
        assert outcome in outcomes(expected, request), told
        assert seen["headers"]["x-gateway-base-model-name"] == expected.base_model, told
    else:
        assert answer.status in MAY_FAIL, told
        assert isinstance(found, dict), told


def parsed(text: str) -> object:
    """Return what *text* says as JSON; itself where it is none, which no comparison takes."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def outcomes(expected: Explanation, request: Request) -> list[tuple[str, str, str | None]]:
    """Return pool, path and model for each pool that may answer."""
    return [
        (share.pool, expected.upstream_path, share.rewrite_to or request.model)
        for share in (*(s for s in expected.shares if s.percent), *expected.fallback)
    ]
