"""Where a request goes on when its pool is down, is full, or answers that it cannot."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.deployment import Answer, Deployment, deployment
from tests.support.load import chat_request, continuous_load
from xds_server.bootstrap import Variant

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
extraction: {mode: <mode>}
pools:
  first: {endpoints: ["<first>"], model: first-name, health_check: {interval: 100ms}}
  other: {endpoints: ["<other>"], health_check: {interval: 100ms}}
  bounded: {endpoints: ["<bounded>"], model: bounded-name, max_requests: 1}
  last: {endpoints: ["<last>"], model: last-name, adapters: [tuned]}
models:
  simple: {pool: first, fallback: [other, last], aliases: [also]}
  split: {split: {first: 50, other: 50}, fallback: [last]}
  sticky: {split: {first: 50, other: 50}, sticky: {header: x-user-id}, fallback: [last]}
  room: {pool: bounded, fallback: [last], paths: [/v1/room]}
  room-in-split:
    {split: {bounded: 50, other: 50}, sticky: {header: x-user-id}, fallback: [last]}
  again: {pool: pair, fallback: [last], retries: {attempts: 1}}
  alone: {pool: first}
"""
PAIR = '  pair: {endpoints: ["<one>", "<two>"], load_balancing: round_robin}\n'
SERVERS = ("first", "other", "bounded", "last", "one", "two")
CHAT = "/v1/chat/completions"
ASKED = 12


@asynccontextmanager
async def deployed_with(
    folder: Path, variant: Variant, mode: str = "ext_proc", **options: int
) -> AsyncIterator[Deployment]:
    registry = REGISTRY.replace("<mode>", mode).replace("models:\n", PAIR + "models:\n")
    async with deployment(registry, SERVERS, folder, variant, **options) as deployed:
        yield deployed


def tell(deployed: Deployment, *servers: str, **settings: object) -> None:
    for server in servers:
        told = deployed.servers[server]
        told.settings = told.settings.changed(settings)


async def ask(deployed: Deployment, model: str, user: str = "someone", path: str = CHAT) -> Answer:
    return await deployed.post(path, {"model": model, "messages": []}, {"x-user-id": user})


def told(answer: Answer) -> tuple[int, str | None, str | None, str]:
    """Return status, pool, server, and the model that the server saw."""
    return answer.status, answer.pool, answer.server, answer.seen["model"]


async def pools(deployed: Deployment, model: str) -> list[tuple[int, str | None]]:
    answers = [await ask(deployed, model, f"user-{number}") for number in range(ASKED)]
    return [(answer.status, answer.pool) for answer in answers]


async def gauged(deployed: Deployment, gauge: str, value: int) -> None:
    """Wait until a gauge of a cluster has *value*."""
    async with asyncio.timeout(10):
        while (await deployed.stats(gauge))[f"cluster.{gauge}"] != value:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
@pytest.mark.parametrize("status", [429, 502, 503])
async def test_what_a_pool_refuses_goes_to_the_next_with_its_name(tmp_path, variant, mode, status):
    async with deployed_with(tmp_path, variant, mode) as deployed:
        before = told(await ask(deployed, "simple"))
        tell(deployed, "first", fail_rate=1, fail_status=status)
        second = [told(await ask(deployed, name)) for name in ("simple", "also")]
        tell(deployed, "other", fail_rate=1, fail_status=status)
        third = told(await ask(deployed, "simple"))
        tell(deployed, "last", fail_rate=1, fail_status=status)
        failed = await ask(deployed, "simple")

    assert before == (200, "first", "first", "first-name")
    assert second == [(200, "other", "other", "simple"), (200, "other", "other", "also")]
    assert third == (200, "last", "last", "last-name")
    assert (failed.status, failed.pool, failed.server) == (status, "last", "last")


async def test_other_failures_are_the_answer(tmp_path, variant):
    async with deployed_with(tmp_path, variant) as deployed:
        tell(deployed, "first", fail_rate=1, fail_status=500)
        answer = await ask(deployed, "simple")

    assert (answer.status, answer.pool) == (500, "first")


async def test_a_pool_that_is_down_is_passed_over_before_and_after_it_is_noticed(tmp_path, variant):
    async with deployed_with(tmp_path, variant) as deployed:
        await deployed.remove_server("first")
        at_once = await pools(deployed, "simple")
        await gauged(deployed, "pool/first.membership_healthy", 1)  # that which refuses
        noticed = [*await pools(deployed, "simple"), *await pools(deployed, "simple")]
        split = Counter(await pools(deployed, "split"))
        without = await ask(deployed, "alone")

    assert at_once == [(200, "other")] * ASKED
    assert noticed == [(200, "other")] * 2 * ASKED
    assert set(split) == {(200, "last"), (200, "other")}
    assert (without.status, without.error["code"]) == (503, "no_healthy_upstream")


async def test_each_user_keeps_the_pool_of_a_split_and_leaves_it_only_while_it_fails(
    tmp_path, variant
):
    async with deployed_with(tmp_path, variant) as deployed:
        before = await pools(deployed, "sticky")
        again = await pools(deployed, "sticky")
        tell(deployed, "first", fail_rate=1)
        failing = await pools(deployed, "sticky")

    assert before == again
    assert set(before) == {(200, "first"), (200, "other")}
    assert failing == [(200, "last") if pool == "first" else (200, "other") for _, pool in before]


@pytest.mark.parametrize("path", [CHAT, "/v1/room/chat/completions"])
async def test_a_full_pool_is_passed_over(tmp_path, variant, path):
    async with deployed_with(tmp_path, variant, workers=2) as deployed:
        free = told(await ask(deployed, "room", path=path))
        tell(deployed, "bounded", latency_s=1.0)
        answers = await asyncio.gather(*(ask(deployed, "room", path=path) for _ in range(20)))

    assert free == (200, "bounded", "bounded", "bounded-name")
    assert Counter(map(told, answers)) == {
        (200, "bounded", "bounded", "bounded-name"): 1,
        (200, "last", "last", "last-name"): 19,
    }
    assert not {"x-gateway-first-pool", "x-gateway-free-pool"} & answers[0].seen["headers"].keys()


async def test_a_full_pool_of_a_split_is_passed_over_by_those_that_would_get_it(tmp_path, variant):
    async with deployed_with(tmp_path, variant) as deployed:
        users = [
            user
            for user, (_, pool) in enumerate(await pools(deployed, "room-in-split"))
            if pool == "bounded"
        ]
        tell(deployed, "bounded", latency_s=1.0)
        asking = asyncio.ensure_future(ask(deployed, "room-in-split", f"user-{users[0]}"))
        await gauged(deployed, "pool/bounded.upstream_rq_active", 1)
        full = await pools(deployed, "room-in-split")
        one = await asking

    assert (one.status, one.pool) == (200, "bounded")
    assert full == [(200, "last" if user in users else "other") for user in range(ASKED)]


async def test_a_client_cannot_choose_the_pool(tmp_path, variant):
    spoofed = {"x-gateway-first-pool": "pool/last", "x-gateway-free-pool": "pool/last"}
    async with deployed_with(tmp_path, variant) as deployed:
        answer = await deployed.post(CHAT, {"model": "room"}, spoofed)

    assert answer.pool == "bounded"


async def test_another_server_of_the_pool_is_tried_first_where_attempts_say_so(tmp_path, variant):
    async with deployed_with(tmp_path, variant) as deployed:
        tell(deployed, "one", fail_rate=1)
        half = await pools(deployed, "again")
        tell(deployed, "two", fail_rate=1)
        answer = await ask(deployed, "again")
        tried = [deployed.servers[server].requests[CHAT] for server in ("one", "two")]

    assert half == [(200, "pair")] * ASKED
    assert (answer.status, answer.pool) == (200, "last")
    assert tried[0] + tried[1] >= ASKED + 2


async def test_a_large_body_arrives_whole_and_renamed(tmp_path, variant):
    body = json.dumps({"model": "simple", "prompt": "x" * 8_000_000}).encode()
    renamed = body.replace(b'"simple"', b'"last-name"')
    async with deployed_with(tmp_path, variant) as deployed:
        tell(deployed, "first", "other", fail_rate=1)
        answer = await deployed.post("/v1/completions", body)

    assert (answer.status, answer.server) == (200, "last")
    assert answer.seen["body_sha256"] == hashlib.sha256(renamed).hexdigest()


async def test_no_request_is_lost_with_the_pool_nor_by_edits_of_its_fallbacks(tmp_path, variant):
    requests = [chat_request(model) for model in ("simple", "split", "room")]
    async with (
        deployed_with(tmp_path, variant, workers=2) as deployed,
        continuous_load(str(deployed.gateway), requests, workers=12) as load,
    ):
        await load.answered(300)
        await deployed.remove_server("first")
        await load.answered(300)
        for old, new in (
            ("fallback: [other, last]", "fallback: [last, other]"),
            ("{pool: bounded, fallback: [last]", "{pool: bounded, fallback: [other]"),
            ("{pool: first, fallback: [last, other]", "{pool: other"),
            ("{pool: other, aliases", "{pool: first, fallback: [other], aliases"),
        ):
            await deployed.edit(old, new)
            await load.answered(300)

    assert not load.report.failures, load.report.failed
