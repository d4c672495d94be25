"""The shadow gets copies, renamed for it; the client sees nothing of it, however bad it is."""

from __future__ import annotations

import asyncio
import hashlib
import time

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.told_server import ToldServer, told_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  now: {endpoints: ["<now>"], model: org/now}
  next: {endpoints: ["<shadow>"], model: org/a-longer-name, adapters: [lora], health_check: false}
models:
  m: {pool: now, mirror: {pool: next}, paths: [/v1/m]}
  tenth: {pool: now, mirror: {pool: next, percent: 10}}
  direct: {pool: next}
"""
CHAT = "/v1/chat/completions"
MAIN = ("now",)


def registry(shadow: str) -> str:
    return REGISTRY.replace("<shadow>", shadow)


@pytest.mark.parametrize("path", [CHAT, "/v1/m/chat/completions"])
@pytest.mark.parametrize("size", [10, 8_000_000])
async def test_each_of_both_sees_the_name_that_it_expects(tmp_path, variant, path, size):
    body = b'{"prompt":"%b","model":"m"}' % (b"x" * size)
    async with (
        told_server() as shadow,
        deployment(registry(shadow.address), MAIN, tmp_path, variant) as deployed,
    ):
        answer = await deployed.post(path, body)
        copy = await shadow.next()
        await copy.start()
        await copy.end()

    expected = hashlib.sha256(body.replace(b'"m"', b'"org/now"')).hexdigest()
    assert (answer.status, answer.pool, answer.seen["body_sha256"]) == (200, "now", expected)
    assert copy.body == body.replace(b'"m"', b'"org/a-longer-name"')
    assert copy.path == CHAT


async def test_a_shadow_that_hangs_is_not_waited_for(tmp_path, variant):
    async with (
        told_server() as shadow,
        deployment(registry(shadow.address), MAIN, tmp_path, variant) as deployed,
    ):
        started = time.perf_counter()
        answers = await asyncio.gather(*(deployed.chat("m") for _ in range(300)))
        elapsed_s = time.perf_counter() - started
        answering = asyncio.ensure_future(answer_all(shadow))
        direct = await deployed.chat("direct")
        answering.cancel()

        assert {answer.status for answer in answers} == {200}
        assert elapsed_s < 10
        assert direct.status == 200  # the pool has room for requests, whatever copies it has


async def test_a_shadow_that_is_gone_or_fails_is_not_seen(tmp_path, variant):
    async with deployment(registry("<bad>"), ("now", "bad"), tmp_path, variant) as deployed:
        bad = deployed.servers["bad"]
        bad.settings = bad.settings.changed({"fail_rate": 1, "fail_status": 500})
        failing = [await deployed.chat("m") for _ in range(10)]
        await deployed.remove_server("bad")
        gone = [await deployed.chat("m") for _ in range(10)]

    assert {(answer.status, answer.pool) for answer in failing + gone} == {(200, "now")}


async def test_the_copies_of_a_gone_shadow_take_no_server_from_requests(tmp_path, variant):
    async with deployment(registry("<bad>"), ("now", "bad"), tmp_path, variant) as deployed:
        await deployed.remove_server("bad")
        for _ in range(20):
            await deployed.chat("m")
        ejected = await deployed.stats(r"^cluster\.pool/next\.outlier_detection\.ejections_active$")

    assert list(ejected.values()) == [0]


async def test_a_part_of_the_requests_is_copied_as_asked_for(tmp_path, variant):
    async with deployment(registry("<next>"), ("now", "next"), tmp_path, variant) as deployed:
        for _ in range(300):
            assert (await deployed.chat("tenth")).pool == "now"
        copies = (await deployed.stats(TOTAL))[TOTAL]

    assert 8 <= copies <= 65  # 30, by chance


async def test_mirroring_begins_and_ends_by_edits_without_a_lost_request(tmp_path, variant):
    async with deployment(registry("<next>"), ("now", "next"), tmp_path, variant) as deployed:
        asking = asyncio.ensure_future(ask_on(deployed))
        for _ in range(5):
            await deployed.edit(", mirror: {pool: next}, paths", ", paths")
            await deployed.edit(", paths", ", mirror: {pool: next}, paths")
        asking.cancel()
        assert await asking > 0


TOTAL = "cluster.shadow/next.upstream_rq_total"


async def ask_on(deployed: Deployment) -> int:
    """Ask until cancelled; return how many were answered, fail if one was not."""
    count = 0
    try:
        while True:
            assert (await deployed.chat("m")).status == 200
            count += 1
    except asyncio.CancelledError:
        return count


async def answer_all(server: ToldServer) -> None:
    """Answer whatever comes to *server*."""
    while True:
        exchange = await server.next()
        await exchange.start({"content-type": "application/json"})
        await exchange.say(b"{}")
        await exchange.end()
