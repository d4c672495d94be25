"""Clients that send too slowly are ended; slow servers and long answers are none of that."""

import asyncio
import time

import pytest
import pytest_asyncio

from tests.support.deployment import Answer, Deployment, deployment
from tests.support.http1_client import Http1Client, chunk, cut, head, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.load import chat_request, continuous_load
from tests.support.modes import MODES

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REQUEST_TIMEOUT_S = 0.5
REGISTRY = """\
version: 1
gateways: {default: {listen: "<gateway>", limits: {request_timeout: 500ms}}}
pools:
  quick: {endpoints: ["<quick>"], model: org/target}
  slow: {endpoints: ["<slow>"]}
models:
  quick: {pool: quick, paths: [/v1/quick]}
  slow: {pool: slow, paths: [/v1/slow]}
extraction: {mode: <mode>}
"""
SERVERS = {
    "quick": {},
    "slow": {"latency_s": 0.7, "token_latency_s": 0.1, "tokens": 5},
}
JSON = "content-type: application/json"
CHUNKED = (JSON, "transfer-encoding: chunked")
PATHS = ("/v1/completions", "/v1/quick/completions")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
async def deployed(request, tmp_path_factory):
    """Run a deployment that is less patient than the one that is shipped."""
    template = REGISTRY.replace("<mode>", request.param)
    folder = tmp_path_factory.mktemp("deployment")
    async with deployment(template, SERVERS, folder) as running:
        yield running


async def drip(client: Http1Client, *, is_chunked: bool) -> None:
    """Send a byte again and again until the other end has had enough."""
    try:
        while True:
            await client.send(chunk(b" ") if is_chunked else b" ")
            await asyncio.sleep(0.02)  # the client that this is about
    except OSError:
        return


async def dripping(deployed: Deployment, path: str, *, is_chunked: bool) -> tuple[Answer, float]:
    """Return what a client got that never ends, and after how many seconds."""
    headers = CHUNKED if is_chunked else (JSON, "content-length: 1000000")
    async with http1_client(deployed.gateway) as client, asyncio.TaskGroup() as tasks:
        started_s = time.monotonic()
        await client.send(head(path=path, headers=headers))
        drops = tasks.create_task(drip(client, is_chunked=is_chunked))
        answer = await client.answer()
        took_s = time.monotonic() - started_s
        await client.closed()
        drops.cancel()
    return answer, took_s


async def test_a_body_that_never_ends_is_ended(deployed: Deployment):
    ways = [(path, is_chunked) for path in PATHS for is_chunked in (True, False)]
    async with asyncio.TaskGroup() as tasks:
        clients = [
            tasks.create_task(dripping(deployed, path, is_chunked=is_chunked))
            for path, is_chunked in ways
        ]

    for answer, took_s in (client.result() for client in clients):
        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert answer.headers["content-type"] == "application/json"
        assert REQUEST_TIMEOUT_S * 0.9 <= took_s < REQUEST_TIMEOUT_S + 5


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_that_never_ends_is_ended_and_its_connection_goes_on(
    deployed: Deployment, path
):
    async with http2_client(deployed.gateway) as client:
        silent = await client.open(path=path)
        await client.send_data(silent, b'{"model": ')
        ended = await client.answer(silent)
        next_answer = await client.ask([b'{"model": "quick"}'], path=path)

    assert (ended.status, ended.error["code"]) == (408, "request_timeout")
    assert next_answer.status == 200


async def test_many_of_them_harm_nobody(deployed: Deployment):
    async def silent() -> int:
        async with http1_client(deployed.gateway) as client:
            await client.send(head(length=1_000_000) + b'{"prompt": "')
            return (await client.answer()).status

    async with continuous_load(str(deployed.gateway), [chat_request("quick")]) as load:
        async with asyncio.TaskGroup() as tasks:
            silent_ones = [tasks.create_task(silent()) for _ in range(200)]
        await load.answered(10)

    assert {task.result() for task in silent_ones} == {408}
    assert load.report.failures == 0, load.report.summary()


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/slow/completions"])
async def test_a_server_may_think_longer_than_a_client_may_send(deployed: Deployment, path):
    started_s = time.monotonic()
    async with http1_client(deployed.gateway) as client:
        await client.send(whole(b'{"model": "slow", "prompt": "x"}', path=path))
        answer = await client.answer()

    assert (answer.status, answer.pool) == (200, "slow")
    assert time.monotonic() - started_s > REQUEST_TIMEOUT_S


async def test_an_answer_may_stream_longer_than_a_client_may_send(deployed: Deployment):
    body = b'{"model": "slow", "prompt": "x", "stream": true}'
    async with http1_client(deployed.gateway) as client:
        await client.send(whole(body))
        answer = await client.answer()

    assert answer.status == 200
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", PATHS)
async def test_a_slow_upload_that_is_done_in_time_passes(deployed: Deployment, path):
    body = b'{"prompt": "%b", "model": "quick"}' % (b"x" * 2_000)
    async with http1_client(deployed.gateway) as client:
        await client.send(head(path=path, length=len(body)))
        for piece in cut(body, 300):
            await client.send(piece)
            await asyncio.sleep(0.03)  # the client that this is about
        answer = await client.answer()

    assert (answer.status, answer.pool) == (200, "quick")
