"""Uploads that are on their way when the pool leaves that they are for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.http1_client import head, http1_client
from tests.support.modes import MODES

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  plain: {endpoints: ["<old>"]}
  renames: {endpoints: ["<old>"], model: org/old}
  other: {endpoints: ["<other>"]}
models:
  plain: {pool: plain, paths: [/v1/plain]}
  renames: {pool: renames, paths: [/v1/renames]}
  other: {pool: other}
extraction: {mode: <mode>}
"""
AFTERWARDS = """\
version: 1
pools:
  other: {endpoints: ["<other>"]}
models:
  plain: {pool: other}
  renames: {pool: other}
  other: {pool: other}
extraction: {mode: <mode>}
"""
SERVERS = ("old", "other")
WITHIN_S = 20.0
UPLOAD_S = 2.0
ACTIVE = r"^http\.default\.downstream_rq_active$"
NAMES = ("plain", "renames")


@pytest_asyncio.fixture(params=MODES)
async def place(request: Any, variant: Any, tmp_path: Any) -> AsyncIterator[tuple[Deployment, str]]:
    """A deployment, and the registry without the pools that are to leave."""
    before, afterwards = (t.replace("<mode>", request.param) for t in (REGISTRY, AFTERWARDS))
    async with deployment(before, SERVERS, tmp_path, variant) as deployed:
        yield deployed, afterwards


async def gone(deployed: Deployment) -> None:
    """Wait until the pools are."""
    async with asyncio.timeout(WITHIN_S):
        while (await deployed.status())["draining"]:  # noqa: ASYNC110 - it is asked for
            await asyncio.sleep(0.05)
    await deployed.converged()


async def until_begun(deployed: Deployment) -> None:
    """Wait until Envoy has the head of a request."""
    async with asyncio.timeout(WITHIN_S):
        while not sum((await deployed.stats(ACTIVE)).values()):  # noqa: ASYNC110 - it is asked for
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", NAMES)
async def test_an_upload_whose_model_is_not_known_yet_goes_where_the_new_routes_say(place, name):
    deployed, afterwards = place
    body = b'{"prompt": "%b", "model": "%b"}' % (b"x" * 2_000, name.encode())
    async with http1_client(deployed.gateway) as client:
        await client.send(head(length=len(body)) + body[:1_000])
        await until_begun(deployed)
        await deployed.write(afterwards)
        await gone(deployed)
        await client.send(body[1_000:])
        answer = await client.answer()

    assert (answer.status, answer.pool) == (200, "other")


@pytest.mark.parametrize("name", NAMES)
async def test_an_upload_that_a_path_has_led_to_a_pool_keeps_it(place, name):
    deployed, afterwards = place
    body = b'{"prompt": "%b"}' % (b"x" * 2_000)
    async with http1_client(deployed.gateway) as client:
        await client.send(head(path=f"/v1/{name}/completions", length=len(body)) + body[:1_000])
        await until_begun(deployed)
        await deployed.write(afterwards)
        await asyncio.sleep(UPLOAD_S)  # the upload that this is about takes its time
        await client.send(body[1_000:])
        answer = await client.answer()
        await gone(deployed)

    assert (answer.status, answer.pool) == (200, name)
