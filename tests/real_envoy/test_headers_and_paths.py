"""What models and pools change of headers and paths, also where a request is tried again."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.deployment import deployment
from tests.support.load import chat_request, continuous_load
from tests.support.recording_server import recording_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  first:
    endpoints: ["<first>"]
    health_check: false
    path_rewrite: /openai/v1
    headers:
      request: {set: {x-tier: "100% gold", x-own: first}, remove: [x-debug]}
      response: {set: {x-served: "by %first%"}, remove: [x-internal]}
  second:
    endpoints: ["<second>"]
    health_check: false
    path_rewrite: /api
    headers: {request: {set: {x-own: second}}}
  plain: {endpoints: ["<plain>"], health_check: false}
  alone: {endpoints: ["<alone>"], health_check: false}
models:
  one: {pool: first, paths: [/v1/one], aliases: [uno]}
  alone: {pool: alone}
  changed:
    pool: alone
    paths: [/v1/changed]
    headers:
      request: {set: {x-team: "50% search", X-Replaced: ours}, remove: [x-debug, cookie]}
      response: {set: {cache-control: no-store}, remove: [x-internal]}
  split:
    split: {first: 1, second: 1, plain: 1}
    retries: {attempts: 8, on: [unreachable, 503]}
  chain: {pool: first, fallback: [second, plain], headers: {request: {set: {x-team: chain}}}}
  copied: {pool: alone, mirror: {pool: first}}
"""
NAMES = ("first", "second", "plain", "alone")
CLIENTS = {"x-debug": "1", "x-tier": "mine", "x-replaced": "theirs", "cookie": "a=b"}


@asynccontextmanager
async def pools(folder, variant, registry=REGISTRY):
    """Run a deployment on servers that remember what they saw; yields it and these by name."""
    async with AsyncExitStack() as stack:
        servers = {n: await stack.enter_async_context(recording_server()) for n in NAMES}
        for name, server in servers.items():
            registry = registry.replace(f"<{name}>", server.address)
        yield await stack.enter_async_context(deployment(registry, (), folder, variant)), servers


async def ask(deployed, model, path="/v1/chat/completions"):
    return await deployed.post(path, {"model": model, "messages": []}, CLIENTS)


async def test_a_pool_changes_headers_of_requests_and_answers(variant, tmp_path):
    async with pools(tmp_path, variant) as (deployed, servers):
        servers["first"].answers_with = {"x-internal": "1", "x-served": "by itself", "x-kept": "1"}
        answers = [await ask(deployed, "one"), await ask(deployed, "uno")]
        answers.append(await ask(deployed, "-", "/v1/one/chat/completions"))

    assert {answer.status for answer in answers} == {200}
    assert servers["first"].all_values("x-tier") == {("100% gold",)}
    assert servers["first"].values("x-debug") == {None}
    assert servers["first"].values("x-replaced") == {"theirs"}
    assert {answer.headers["x-served"] for answer in answers} == {"by %first%"}
    assert {answer.headers.get("x-internal") for answer in answers} == {None}
    assert {answer.headers["x-kept"] for answer in answers} == {"1"}
    assert {answer.pool for answer in answers} == {"first"}


async def test_a_model_changes_headers_of_requests_and_answers(variant, tmp_path):
    async with pools(tmp_path, variant) as (deployed, servers):
        servers["alone"].answers_with = {"x-internal": "1"}
        answers = [await ask(deployed, "changed")]
        answers.append(await ask(deployed, "-", "/v1/changed/chat/completions"))
        changed = servers["alone"].seen[:]
        servers["alone"].seen.clear()
        untouched = await ask(deployed, "alone")

    for seen in changed:
        assert seen.getall("x-team") == ["50% search"]
        assert seen.getall("x-replaced") == ["ours"]
        assert {"x-debug", "cookie"}.isdisjoint(map(str.lower, seen))
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert "x-internal" not in answer.headers
    assert servers["alone"].values("x-debug") == {"1"}
    assert servers["alone"].values("x-team") == {None}
    assert untouched.headers["x-internal"] == "1"


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/v1/embeddings?a=/v1/b", "/openai/v1/embeddings?a=/v1/b"),
        ("/v1", "/openai/v1"),
        ("/v1?a", "/openai/v1?a"),
        ("/v10/chat", "/v10/chat"),
        ("/v2/rerank", "/v2/rerank"),
        ("/v1/one/chat/completions", "/openai/v1/chat/completions"),
    ],
)
async def test_what_stands_for_v1_stands_for_nothing_else(tmp_path, path, seen):
    async with pools(tmp_path, "delta") as (deployed, servers):
        answer = await ask(deployed, "one", path)

    assert answer.status == 200
    assert servers["first"].paths == [seen]


async def test_v1_can_be_cut(tmp_path):
    cut = REGISTRY.replace("path_rewrite: /openai/v1", "path_rewrite: /")
    async with pools(tmp_path, "delta", cut) as (deployed, servers):
        for path in ("/v1/chat/completions", "/v1", "/v1?a"):
            await ask(deployed, "one", path)

    assert servers["first"].paths == ["/chat/completions", "/", "/?a"]


@pytest.mark.parametrize("model", ["split", "chain"])
async def test_a_request_that_is_tried_at_another_pool_comes_as_if_it_had_been_the_first(
    variant, tmp_path, model
):
    async with pools(tmp_path, variant) as (deployed, servers):
        servers["first"].status = servers["second"].status = 503
        statuses = {(await ask(deployed, model)).status for _ in range(30)}
        servers["plain"].status, servers["second"].status = 503, 200
        statuses |= {(await ask(deployed, model)).status for _ in range(30)}

    first, second, plain = (servers[name] for name in ("first", "second", "plain"))
    assert statuses == {200}
    assert min(len(first.seen), len(second.seen), len(plain.seen)) > 20
    assert {*first.paths} == {"/openai/v1/chat/completions"}
    assert {*second.paths} == {"/api/chat/completions"}
    assert {*plain.paths} == {"/v1/chat/completions"}
    owns = [server.values("x-own") for server in (first, second, plain)]
    assert owns == [{"first"}, {"second"}, {None}]
    tiers = [server.values("x-tier") for server in (first, second, plain)]
    assert tiers == [{"100% gold"}, {None}, {None}]
    debugs = [server.values("x-debug") for server in (first, second, plain)]
    assert debugs == [{None}] * 3
    teams = {team for server in (first, second, plain) for team in server.values("x-team")}
    assert teams == {"chain" if model == "chain" else None}


async def test_a_copy_comes_as_its_pool_wants_it_and_the_request_as_its_own_does(variant, tmp_path):
    async with pools(tmp_path, variant) as (deployed, servers):
        load = continuous_load(str(deployed.gateway), [chat_request("copied")], workers=1)
        async with load as running:
            await running.answered(30)

    assert {*servers["first"].paths} == {"/openai/v1/chat/completions"}
    assert {*servers["alone"].paths} == {"/v1/chat/completions"}
    assert servers["first"].values("x-own") == {"first"}
    assert servers["alone"].values("x-own") == {None}


async def test_no_edit_shows_one_pools_path_or_header_to_another_or_loses_a_request(
    variant, tmp_path
):
    async with pools(tmp_path, variant) as (deployed, servers):
        text = deployed.registry.read_text()
        bare = text.replace("    path_rewrite: /openai/v1\n", "").replace(", x-own: first", "")
        moved = text.replace("/openai/v1", "/other/v1")
        requests = [chat_request(model) for model in ("split", "one", "changed")]
        async with continuous_load(str(deployed.gateway), requests) as load:
            for each in (bare, text, moved, text, bare):
                await deployed.write(each)
                await load.answered(50)

    assert load.report.failures == 0, load.report.summary()
    allowed = {"/v1", "/openai/v1", "/other/v1"}
    assert {p.removesuffix("/chat/completions") for p in servers["first"].paths} <= allowed
    assert {*servers["second"].paths} == {"/api/chat/completions"}
    assert {*servers["plain"].paths} == {"/v1/chat/completions"}
    assert servers["second"].values("x-own") == {"second"}
    assert servers["plain"].values("x-own") == {None}
