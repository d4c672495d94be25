"""A full pool answers at once, and what it has goes on."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.deployment import deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<a>", "<b>"], max_requests: 3}
models:
  m: {pool: p}
"""
ACTIVE = "cluster.pool/p.upstream_rq_active"
SERVERS = {"a": {"latency_s": 1}, "b": {"latency_s": 1}}


async def test_what_goes_beyond_is_refused_at_once_and_may_come_again(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as d:
        answers = await asyncio.gather(*(d.chat("m") for _ in range(10)))
        refused = [answer for answer in answers if answer.status == 503]
        later = await d.chat("m")

    assert Counter(answer.status for answer in answers) == {200: 3, 503: 7}
    assert {answer.error["code"] for answer in refused} == {"pool_overloaded"}
    assert all(answer.headers["retry-after"] for answer in refused)
    assert later.status == 200


async def test_a_raised_limit_holds_at_once_and_cuts_nothing(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as d:
        before = [asyncio.ensure_future(d.chat("m")) for _ in range(3)]
        while (await d.stats(ACTIVE))[ACTIVE] < 3:  # noqa: ASYNC110 - Envoy only answers
            await asyncio.sleep(0.005)
        await d.edit("max_requests: 3", "max_requests: 5")
        after = await asyncio.gather(*(d.chat("m") for _ in range(5)))

        assert {(await answer).status for answer in before} == {200}
        assert {answer.status for answer in after} == {200}
