"""The limits of clients are those of the registry, and what keeps them is served."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.edge_page import told_answers
from tests.support.header_server import header_server
from tests.support.http1_client import chunked, cut, head, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.load import chat_request, continuous_load
from tests.support.raw_server import raw_server

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>", LIMITS}
pools:
  one: {endpoints: ["<one>"], model: org/target}
  headers: {endpoints: ["<headers>"], health_check: false}
models:
  one: {pool: one, paths: [/v1/one]}
  headers: {pool: headers}
"""
LIMITS = "limits: {max_headers: 30, max_header_size: 4KiB, headers_with_underscores: drop}"
ROOMY = "limits: {max_headers: 300, max_header_size: 256KiB}"
LARGE = "A body longer than `max_body`, by its `content-length`"
LARGE_CHUNKED = "A body longer than `max_body` that does not tell its length"
BOMB = "A body that gzip unpacks to more than `max_body`"
PATHS = ("/v1/completions", "/v1/one/completions")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(variant, tmp_path_factory):
    async with header_server() as headers:
        template = REGISTRY.replace("<headers>", headers).replace("LIMITS", LIMITS)
        folder = tmp_path_factory.mktemp("deployment")
        async with deployment(template, ("one",), folder, variant) as running:
            yield running


def many(count: int) -> dict[str, str]:
    return {f"x-{number}": "a" for number in range(count)}


async def test_fewer_headers_may_be_allowed(deployed: Deployment):
    """Those that the gateway adds count, too; however many it is that do not fit in, it says so."""
    answers = [
        await deployed.post("/v1/completions", {"model": "one"}, many(count))
        for count in range(10, 40)
    ]
    refused = [answer for answer in answers if answer.status != 200]

    assert answers[0].status == 200
    assert 10 <= len(refused) <= 25
    assert answers[-len(refused) :] == refused
    assert {(a.status, a.error["code"]) for a in refused} == {(431, "headers_too_large")}


async def test_shorter_headers_may_be_allowed(deployed: Deployment):
    short = await deployed.post("/v1/completions", {"model": "one"}, {"x-a": "a" * 3000})
    longer = await deployed.post("/v1/completions", {"model": "one"}, {"x-a": "a" * 5000})
    url = await deployed.post(f"/v1/one/{'a' * 5000}", {"model": "one"})

    assert short.status == 200
    for answer in (longer, url):
        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")


async def test_headers_with_underscores_may_be_dropped(deployed: Deployment):
    sent = {"x_user": "a", "x-user": "b", "x_gateway_client": "c", "X_Envoy_Internal": "d"}
    answer = await deployed.post("/v1/completions", {"model": "headers"}, sent)

    assert answer.status == 200
    assert answer.json["x-user"] == "b"
    assert not [name for name in answer.json if "_" in name]


@pytest.mark.parametrize("limits", ["", ROOMY], ids=["as shipped", "roomy"])
async def test_more_may_be_allowed(tmp_path, variant, limits):
    async with raw_server() as server:
        template = REGISTRY.replace("<headers>", server.address).replace("LIMITS", limits)
        async with deployment(template, ("one",), tmp_path, variant) as running:

            async def status(headers: dict[str, str]) -> int:
                return (await running.post("/v1/x", {"model": "headers"}, headers)).status

            count = await status(many(200))
            length = await status({f"x-{number}": "a" * 4000 for number in range(30)})
            usual = await status(many(80))
            token = await status({"authorization": f"Bearer {'a' * 50_000}"})

    refused = 200 if limits else 431
    assert (count, length) == (refused, refused)
    assert (usual, token) == (200, 200)
    assert b"authorization: Bearer " + b"a" * 50_000 in server.lines()


@pytest.mark.parametrize("path", PATHS)
async def test_bodies_of_15_mb_pass(deployed: Deployment, path):
    body = json.dumps({"model": "one", "prompt": "x" * 15_000_000}).encode()
    async with http1_client(deployed.gateway) as first, http2_client(deployed.gateway) as second:
        await first.send(whole(body, path=path))
        answers = [await first.answer(), await second.ask([body], path=path)]

    renamed = body.replace(b'"one"', b'"org/target"')
    for answer in answers:
        assert answer.status == 200
        seen = json.loads(answer.body)["simulate"]
        assert seen["body_sha256"] == hashlib.sha256(renamed).hexdigest()


async def test_no_request_is_lost_when_they_change(tmp_path, variant):
    async with header_server() as headers:
        template = REGISTRY.replace("<headers>", headers).replace("LIMITS", "trusted_hops: 0")
        async with deployment(template, ("one",), tmp_path, variant) as running:
            requests = [chat_request("one")]
            async with continuous_load(str(running.gateway), requests, workers=2) as load:
                await load.answered(10)
                await running.edit("trusted_hops: 0", "trusted_hops: 1")
                await load.answered(10)
                await running.edit("trusted_hops: 1", LIMITS)
                await load.answered(10)

    assert load.report.failures == 0, load.report.summary()


async def test_bodies_are_bounded_whether_they_tell_their_length_or_not(deployed: Deployment):
    large = json.dumps({"model": "one", "prompt": "x" * 17 * 2**20}).encode()
    bomb = gzip.compress(json.dumps({"model": "one", "prompt": " " * 50_000_000}).encode())
    packed = [("content-type", "application/json"), ("content-encoding", "gzip")]
    lines = [f"{name}: {value}" for name, value in packed]
    chunks = head(headers=["transfer-encoding: chunked"]) + chunked(cut(large, 2**16))
    outcomes = {}
    for row, wire in {
        LARGE: head(length=len(large)),
        LARGE_CHUNKED: chunks,
        BOMB: whole(bomb, headers=lines),
    }.items():
        async with http1_client(deployed.gateway) as client:
            client.write(wire)
            outcomes[row, "http1"] = await client.answer()
    for row, pieces, headers in [
        (LARGE, [], [("content-length", str(len(large)))]),
        (LARGE_CHUNKED, cut(large, 2**14), []),
        (BOMB, [bomb], packed),
    ]:
        async with http2_client(deployed.gateway) as client:
            stream = await client.open(headers=headers)
            if pieces:
                await client.send(stream, pieces)
            outcomes[row, "http2"] = await client.answer(stream)

    for (row, protocol), answer in outcomes.items():
        words = f"{answer.status} `{answer.error['code']}`"
        assert words == getattr(told_answers()[row], protocol), (row, protocol)
