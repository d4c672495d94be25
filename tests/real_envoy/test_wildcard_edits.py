"""Wildcards and defaults that come and go under traffic, and what telling the companion costs."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.load import chat_request, continuous_load
from xds_server.ext_proc.wire import openings
from xds_server.ext_proc.wire.grpc import opened_by

pytestmark = pytest.mark.envoy

REGISTRY = """version: 1
pools:
  a: {endpoints: [<a>]}
  b: {endpoints: [<b>]}
models:
  exact: {pool: a}
"""
WILDCARD = '  "*": {pool: b}\n'
EXACT = "  exact: {pool: a}\n"
DEFAULT = "default_model: exact\n"


async def test_an_exact_name_keeps_its_pool_while_wildcards_come_and_go(variant, tmp_path):
    async with deployment(REGISTRY, ("a", "b"), tmp_path, variant, workers=2) as deployed:
        request = chat_request("exact")
        async with continuous_load(str(deployed.gateway), [request], workers=4) as load:
            for template in (
                REGISTRY + WILDCARD,
                REGISTRY + '  "ex*": {pool: b}\n' + WILDCARD,
                REGISTRY + WILDCARD + DEFAULT,
                REGISTRY + DEFAULT,
                REGISTRY,
            ):
                await load.answered(20)
                await deployed.write(template)
                await load.answered(20)

    assert load.report.failures == 0, load.report.summary()
    assert set(load.report.pools) == {"a"}


async def test_a_name_that_a_wildcard_takes_over_is_never_without_a_route(variant, tmp_path):
    both = REGISTRY + WILDCARD
    async with deployment(both, ("a", "b"), tmp_path, variant, workers=2) as deployed:
        request = chat_request("exact")
        async with continuous_load(str(deployed.gateway), [request], workers=4) as load:
            for template, pool in ((both.replace(EXACT, ""), "b"), (both, "a")) * 3:
                await deployed.write(template)
                await load.first(lambda sample, pool=pool: sample.pool == pool)

    assert load.report.failures == 0, load.report.summary()


async def test_what_the_companion_is_told_is_decoded_once(tmp_path, monkeypatch):
    decoded: list[object] = []

    def counting(fields, service):
        decoded.append(fields)
        return opened_by(fields, service)

    monkeypatch.setattr(openings, "opened_by", counting)
    async with deployment(REGISTRY + DEFAULT, ("a", "b"), tmp_path) as deployed:
        await asyncio.gather(*(unnamed(deployed) for _ in range(4)))
        decoded.clear()
        for _ in range(50):
            await unnamed(deployed)

    assert len(decoded) <= 2, decoded


async def unnamed(deployed: Deployment) -> None:
    answer = await deployed.post("/v1/chat/completions", {"messages": []})
    assert (answer.status, answer.pool) == (200, "a")
