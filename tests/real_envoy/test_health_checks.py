"""A pool's health check takes servers by the status that it expects."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deployment import deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<a>"], health_check: {interval: 100ms, status: 200, healthy_after: 3}}
models:
  m: {pool: p}
"""
HEALTHY = "cluster.pool/p.membership_healthy"


async def test_only_the_expected_status_makes_a_server_healthy(tmp_path, variant):
    async with deployment(REGISTRY, ("a",), tmp_path, variant) as d:
        expected = await d.chat("m")
        await d.edit("status: 200", "status: 204")
        unexpected = await d.chat("m")

    assert expected.status == 200
    assert unexpected.status == 503
    assert unexpected.error["code"] == "no_healthy_upstream"


async def test_another_status_can_be_expected(tmp_path, variant):
    servers = {"a": {"healthy": False}}
    sick = REGISTRY.replace("status: 200", "status: 503")
    async with deployment(sick, servers, tmp_path, variant) as d:
        found = (await d.stats(HEALTHY))[HEALTHY]
        answer = await d.chat("m")

    assert found == 1
    assert answer.status == 200


async def test_servers_replaced_by_ones_with_another_status_lose_no_request(tmp_path, variant):
    servers = {"a": {"healthy": False}, "b": {"healthy": False, "health_latency_s": 0.3}}
    sick = REGISTRY.replace("status: 200", "status: 503")
    async with deployment(sick, servers, tmp_path, variant) as d:
        async with asyncio.TaskGroup() as tasks:
            edit = tasks.create_task(d.write(sick.replace("<a>", "<b>")))
            answers = [await d.chat("m")]
            while not edit.done():
                answers.append(await d.chat("m"))
        last = await d.chat("m")

    assert {answer.status for answer in answers} == {200}
    assert last.server == "b"
