"""A pool that fills up refuses sheddable requests first, and keeps places for critical ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.deployment import Answer, Deployment, deployment
from tests.support.load import chat_request, continuous_load

pytestmark = pytest.mark.envoy

LATENCY_S = 2.0
SERVERS = {"a": {"latency_s": LATENCY_S}, "b": {"latency_s": LATENCY_S}, "c": {}}
REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<a>"], max_requests: 6, max_critical_requests: 3, shed_at: 4, adapters: [late]}
  q: {endpoints: ["<b>"], max_requests: 4, model: org/q}
  r: {endpoints: ["<c>"]}
models:
  batch: {pool: p, priority: sheddable, aliases: [nightly], paths: [/v1/batch]}
  chat: {pool: p}
  urgent: {pool: p, priority: critical, aliases: [now], paths: [/v1/urgent]}
  both: {split: {p: 1, q: 1}, priority: sheddable, sticky: {header: x-user}}
  other: {pool: q}
  free: {pool: r}
"""
CHAIN = "{pool: p, fallback: [q], priority: sheddable}"
"""The pools shed from 4 and, by default, from 3 requests on."""


async def in_flight(deployed: Deployment, pool: str, count: int) -> None:
    """Wait until *pool* has *count* requests."""
    gauge = f"cluster.pool/{pool}.upstream_rq_active"
    async with asyncio.timeout(10):
        while (await deployed.stats(gauge))[gauge] != count:  # noqa: ASYNC110 - Envoy only answers
            await asyncio.sleep(0.005)


@asynccontextmanager
async def busy(deployed: Deployment, model: str, count: int, pool: str) -> AsyncIterator[None]:
    """Have *count* requests for *model* at *pool*, which has no others, meanwhile."""
    requests = [asyncio.ensure_future(deployed.chat(model)) for _ in range(count)]
    await in_flight(deployed, pool, count)
    yield
    assert {answer.status for answer in await asyncio.gather(*requests)} == {200}


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


async def at_once(deployed: Deployment, model: str, count: int) -> list[Answer]:
    return await asyncio.gather(*(deployed.chat(model) for _ in range(count)))


async def test_a_nearly_full_pool_sheds_and_takes_the_rest(variant, tmp_path):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        async with busy(deployed, "chat", 4, "p"):
            shed = [
                await deployed.chat("batch"),
                await deployed.chat("nightly"),
                await deployed.post("/v1/batch/completions", {}),
                await deployed.chat("late"),
            ]
            chat = at_once(deployed, "chat", 4)
            urgent = at_once(deployed, "urgent", 5)
            chat, urgent = await asyncio.gather(chat, urgent)
        later = await deployed.chat("batch")

    assert statuses(shed) == {429: 4}
    assert shed[0].error == {
        "message": "The pool is nearly full, and this model gives way. Try again later.",
        "type": "requests",
        "param": None,
        "code": "shed",
    }
    assert shed[0].headers["retry-after"]
    assert shed[0].pool is None
    assert statuses(chat) == {200: 2, 503: 2}
    assert statuses(urgent) == {200: 3, 503: 2}
    assert {a.error["code"] for a in (*chat, *urgent) if a.status == 503} == {"pool_overloaded"}
    assert (later.status, later.pool, later.seen["headers"]["x-gateway-priority"]) == (
        200,
        "p",
        "sheddable",
    )


async def test_critical_requests_count_for_what_is_shed(variant, tmp_path):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        chat = [asyncio.ensure_future(deployed.chat("chat")) for _ in range(2)]
        await in_flight(deployed, "p", 2)
        async with busy_more(deployed):
            answers = await at_once(deployed, "batch", 3)
        await asyncio.gather(*chat)

    assert statuses(answers) == {429: 3}


@asynccontextmanager
async def busy_more(deployed: Deployment) -> AsyncIterator[None]:
    urgent = [
        asyncio.ensure_future(deployed.chat("urgent")),
        asyncio.ensure_future(deployed.post("/v1/urgent/completions", {"model": "x"})),
    ]
    await in_flight(deployed, "p", 4)
    yield
    assert {answer.status for answer in await asyncio.gather(*urgent)} == {200}


async def test_sheddable_requests_alone_stop_where_they_would_be_shed(variant, tmp_path):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        answers = await at_once(deployed, "batch", 10)

    assert statuses(answers) == {200: 4, 429: 6}


async def test_a_split_sheds_what_its_full_pool_would_get(variant, tmp_path):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        async with busy(deployed, "other", 4, "q"):
            answers = await asyncio.gather(*(chat_as(deployed, user) for user in range(24)))
        calm = await asyncio.gather(*(chat_as(deployed, user) for user in (0, 0, 0)))

    assert statuses(answers) == {200: 4, 429: 20}
    assert {answer.pool for answer in answers if answer.status == 200} == {"p"}
    assert statuses(calm) == {200: 3}
    assert len({answer.pool for answer in calm}) == 1
    assert all((a.seen["model"] == "org/q") == (a.pool == "q") for a in calm)


async def chat_as(deployed: Deployment, user: int) -> Answer:
    return await deployed.post("/v1/completions", {"model": "both"}, {"x-user": str(user)})


async def test_a_chain_takes_sheddable_requests_where_there_is_room(variant, tmp_path):
    registry = REGISTRY.replace("models:", "models:\n  chain: " + CHAIN)
    async with deployment(registry, SERVERS, tmp_path, variant) as deployed:
        first = await asyncio.gather(*(deployed.chat("chain") for _ in range(12)))
        async with busy(deployed, "other", 4, "q"):
            second = await asyncio.gather(*(deployed.chat("chain") for _ in range(12)))

    assert Counter((answer.status, answer.pool) for answer in first) == {
        (200, "p"): 4,
        (200, "q"): 3,
        (429, None): 5,
    }
    assert Counter((answer.status, answer.pool) for answer in second) == {
        (200, "p"): 4,
        (429, None): 8,
    }


async def test_critical_requests_go_on_where_both_budgets_are_spent(variant, tmp_path):
    registry = REGISTRY.replace("models:", "models:\n  chain: " + CHAIN)
    registry = registry.replace("[q], priority: sheddable", "[r], priority: critical")
    async with deployment(registry, SERVERS, tmp_path, variant) as deployed:
        answers = await asyncio.gather(*(deployed.chat("chain") for _ in range(12)))

    assert Counter((answer.status, answer.pool) for answer in answers) == {
        (200, "p"): 9,
        (200, "r"): 3,
    }


async def test_priorities_come_and_go_under_load_without_a_loss(variant, tmp_path):
    servers = {"a": {}, "b": {}, "c": {}}
    wide = REGISTRY.replace(
        "max_requests: 6, max_critical_requests: 3, shed_at: 4", "max_requests: 60"
    ).replace("max_requests: 4", "max_requests: 40")
    plain = wide.replace("priority: sheddable, ", "").replace("priority: critical, ", "")
    async with deployment(plain, servers, tmp_path, variant, workers=2) as deployed:
        requests = [
            chat_request(m) for m in ("batch", "nightly", "both", "urgent", "now", "chat", "late")
        ]
        requests.append(chat_request("x", path="/v1/batch/chat/completions"))
        async with continuous_load(str(deployed.gateway), requests, workers=4) as load:
            for template in (wide, plain, wide.replace("critical", "sheddable"), wide, plain):
                await load.answered(40)
                await deployed.write(template)
            await load.answered(40)

    assert load.report.failures == 0, load.report.summary()
