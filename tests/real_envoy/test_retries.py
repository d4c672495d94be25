"""When a request is tried again, where, and when it is not."""

from __future__ import annotations

import asyncio
import hashlib
import time

import aiohttp
import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.told_server import told_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<bad>", "<good>"], load_balancing: round_robin, health_check: false}
models:
  default: {pool: p}
  by-status: {pool: p, retries: {on: [503, 429]}}
  by-reset: {pool: p, retries: {on: [reset], per_try_timeout: 200ms}}
  never: {pool: p, retries: {attempts: 0}}
"""
SERVERS = ("bad", "good")
CHAT = "/v1/chat/completions"
ASKED = 10


def tell(deployed: Deployment, server: str, **settings: object) -> None:
    told = deployed.servers[server]
    told.settings = told.settings.changed(settings)


async def statuses(deployed: Deployment, model: str) -> list[int]:
    return [(await deployed.chat(model)).status for _ in range(ASKED)]


@pytest.mark.parametrize("status", [503, 429])
async def test_a_status_is_tried_again_at_another_server_only_if_asked_for(
    tmp_path, variant, status
):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        tell(deployed, "bad", fail_rate=1, fail_status=status)

        assert await statuses(deployed, "by-status") == [200] * ASKED
        assert sorted(set(await statuses(deployed, "default"))) == [200, status]
        assert sorted(set(await statuses(deployed, "by-reset"))) == [200, status]


async def test_the_last_answer_stands_where_all_fail(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        for server in SERVERS:
            tell(deployed, server, fail_rate=1, fail_status=503)
        answer = await deployed.chat("by-status")
        seen = [deployed.servers[server].requests[CHAT] for server in SERVERS]

    assert (answer.status, answer.server in SERVERS) == (503, True)
    assert sum(seen) == 3


async def test_a_large_body_arrives_whole_at_the_second_try(tmp_path, variant):
    body = b'{"model":"by-status","prompt":"%b"}' % (b"x" * 8_000_000)
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        tell(deployed, "bad", fail_rate=1)
        for _ in range(2):
            answer = await deployed.post("/v1/completions", body)

            assert (answer.status, answer.server) == (200, "good")
            assert answer.seen["body_sha256"] == hashlib.sha256(body).hexdigest()


async def test_a_try_that_takes_too_long_is_given_up(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        tell(deployed, "bad", latency_s=30)
        started = time.perf_counter()

        assert await statuses(deployed, "by-reset") == [200] * ASKED
        assert time.perf_counter() - started < 20


async def test_what_is_never_tried_again_fails_at_once(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        await deployed.remove_server("bad")

        assert 503 in await statuses(deployed, "never")
        assert await statuses(deployed, "default") == [200] * ASKED


async def test_nothing_is_tried_again_once_an_answer_has_begun(tmp_path, variant):
    async with (
        told_server() as server,
        deployment(
            REGISTRY.replace('["<bad>", "<good>"]', f'["{server.address}"]'), (), tmp_path, variant
        ) as deployed,
    ):
        asking = asyncio.ensure_future(
            deployed.session.post(f"{deployed.url}{CHAT}", json={"model": "by-reset"})
        )
        exchange = await server.next()
        await exchange.start()
        await exchange.say(b"data: first\n\n")
        async with await asking as answer:
            await asyncio.sleep(0.3)  # longer than `per_try_timeout`
            await exchange.say(b"data: second\n\n")
            assert await answer.content.readexactly(27) == b"data: first\n\ndata: second\n\n"
            exchange.cut()
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        tried = await deployed.stats(r"pool/p\.upstream_rq_retry$")

    assert not any(tried.values())


async def test_retries_cannot_storm(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        for server in SERVERS:
            tell(deployed, server, fail_rate=1, latency_s=0.2)
        answers = await asyncio.gather(*(deployed.chat("by-status") for _ in range(150)))
        tried = await deployed.stats(r"pool/p\.upstream_rq_retry(_overflow)?$")

    retries, left_out = (
        sum(v for k, v in tried.items() if k.endswith(end)) for end in ("retry", "overflow")
    )
    assert {answer.status for answer in answers} == {503}
    assert left_out > 0
    assert retries < 150  # two for each of them, were there no budget
