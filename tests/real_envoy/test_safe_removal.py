"""A pool or server that leaves the file is kept until no Envoy is at work for a request there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.answering import FIRST, LAST, Told, answering, assert_whole
from tests.support.deployment import Deployment, deployment
from tests.support.load import chat_request, continuous_load
from tests.support.told_server import ToldServer, told_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
drain: 50s
pools:
  told: {endpoints: ["<told>"]}
  other: {endpoints: ["<other>", "<spare>"]}
models:
  m: {pool: told, paths: [/v1/at-m]}
  other: {pool: other}
"""
SERVERS = ("other", "spare")
WITHIN_S = 20.0
STREAM_S = 20.0
"""How long the answer takes that nothing may cut."""
POOL_GOES = (('  told: {endpoints: ["<told>"]}\n', ""), ("pool: told", "pool: other"))
SERVER_GOES = ('["<told>"]', '["<spare>"]')
SOON = ("drain: 50s", "drain: 1s")


class Place:
    """A deployment, and the server behind it whose answers the tests give."""

    def __init__(self, deployed: Deployment, server: ToldServer) -> None:
        self.deployed = deployed
        self.server = server
        self.told = Told(deployed, server)

    async def edit(self, *edits: tuple[str, str]) -> None:
        """Have Envoy run the registry after *edits*."""
        text = REGISTRY
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        await self.deployed.write(text.replace("<told>", self.server.address))

    async def draining(self, *, stage: str = "draining", in_progress: int) -> dict[str, Any]:
        """Wait until that is what is leaving, and return what `GET /status` tells of it."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                views = (await self.deployed.status())["draining"]
                told = [(view["stage"], view["in_progress"]) for view in views]
                if told == [(stage, in_progress)]:
                    return views[0]
                await asyncio.sleep(0.05)

    async def nothing_is_leaving(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while (await self.deployed.status())["draining"]:  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(0.05)
        await self.deployed.converged()

    async def drained_by_envoy(self, cluster: str) -> list[bool]:
        """Return of each server of *cluster* whether Envoy was told that it is DRAINING."""
        statuses = (await self.deployed.admin("/clusters?format=json"))["cluster_statuses"]
        [found] = [status for status in statuses if status["name"] == cluster]
        return [
            host["health_status"]["eds_health_status"] == "DRAINING"
            for host in found["host_statuses"]
        ]

    async def pools(self) -> set[str]:
        """Return the names of the pools that Envoy has."""
        statuses = (await self.deployed.admin("/clusters?format=json"))["cluster_statuses"]
        return {status["name"] for status in statuses if status["name"].startswith("pool/")}

    async def answer_all(self) -> None:
        """Have the server answer whatever comes from now on; until cancelled."""
        while True:
            exchange = await self.server.next()
            await exchange.start()
            await exchange.end()


@pytest_asyncio.fixture
async def place(variant: Any, tmp_path: Path) -> AsyncIterator[Place]:
    async with told_server() as server:
        text = REGISTRY.replace("<told>", server.address)
        async with deployment(text, SERVERS, tmp_path, variant) as deployed:
            yield Place(deployed, server)


async def test_a_pool_goes_when_its_last_answer_has_ended(place: Place):
    async with answering(place.told, "m") as requests:
        await place.edit(*POOL_GOES)
        view = await place.draining(in_progress=len(requests))

        wait = {"node": "envoy-1", "why": "in_progress", "in_progress": len(requests)}
        assert (view["what"], view["server"], view["waits_for"]) == ("pool told", None, [wait])
        assert await place.drained_by_envoy("pool/told") == [True]
        assert (await place.deployed.chat("m")).pool == "other"
        await assert_whole(requests)
        await place.nothing_is_leaving()

    assert await place.pools() == {"pool/other"}


async def test_a_server_goes_when_its_last_answer_has_ended(place: Place):
    async with answering(place.told, "m") as requests:
        await place.edit(SERVER_GOES)
        view = await place.draining(in_progress=len(requests))

        assert (view["pool"], view["server"]) == ("told", place.server.address)
        assert sorted(await place.drained_by_envoy("pool/told")) == [False, True]
        assert (await place.deployed.chat("m")).server == "spare"
        await assert_whole(requests)
        await place.nothing_is_leaving()

    assert await place.drained_by_envoy("pool/told") == [False]


async def test_what_nobody_is_at_work_for_goes_long_before_its_deadline(place: Place):
    await place.edit(*POOL_GOES)
    await place.nothing_is_leaving()

    assert await place.pools() == {"pool/other"}


async def test_the_deadline_ends_a_drain_and_cuts_no_answer(place: Place):
    async with answering(place.told, "m") as requests:
        await place.edit(*POOL_GOES, SOON)
        await place.nothing_is_leaving()

        assert await place.pools() == {"pool/other"}
        await assert_whole(requests)


async def test_a_pool_that_comes_back_serves_at_once_with_what_it_had(place: Place):
    async with answering(place.told, "m") as requests:
        await place.edit(*POOL_GOES)
        await place.draining(in_progress=len(requests))
        await place.edit()

        assert (await place.deployed.status())["draining"] == []
        assert await place.drained_by_envoy("pool/told") == [False]
        async with answering(place.told, "m", stages=[True]) as more:
            await assert_whole(more)
        await assert_whole(requests)


async def test_a_pool_comes_back_with_other_servers_and_no_request_fails(place: Place):
    """The one that is draining takes the requests once more, until the new one was checked."""
    requests = [chat_request("other"), chat_request("m")]
    async with answering(place.told, "m") as slow, asyncio.TaskGroup() as tasks:
        await place.edit(*POOL_GOES)
        async with continuous_load(str(place.deployed.gateway), requests) as load:
            answers = tasks.create_task(place.answer_all())
            await load.answered(50)
            await place.draining(in_progress=len(slow))
            await place.edit(SERVER_GOES)
            await load.answered(50)
        answers.cancel()
        assert await place.draining(in_progress=len(slow))
        await assert_whole(slow)

    assert load.report.failures == 0, load.report.summary()
    assert load.report.servers["spare"]


async def test_what_is_draining_is_gone_after_a_restart_and_its_answers_are_whole(place: Place):
    async with answering(place.told, "m") as requests:
        await place.edit(*POOL_GOES)
        await place.draining(in_progress=len(requests))
        await place.deployed.control_plane.stop()
        await place.deployed.control_plane.start()
        await place.deployed.converged()

        assert (await place.deployed.status())["draining"] == []
        assert await place.pools() == {"pool/other"}
        await assert_whole(requests)


async def test_answers_that_take_long_outlive_their_pool_and_their_server_under_load(
    variant: Any, tmp_path: Path
):
    """One edit takes a pool away, and a server of another, each at work for an answer."""
    async with told_server() as of_pool, told_server() as of_server:
        text = BOTH.replace("<of_pool>", of_pool.address)
        async with deployment(
            text.replace("<of_server>", of_server.address), SERVERS, tmp_path, variant, workers=2
        ) as deployed:
            requests = [chat_request("other"), chat_request("kept")]
            async with (
                answering(Told(deployed, of_pool), "gone", **ONE) as [first, *_],
                answering(Told(deployed, of_server), "m", **ONE) as [second, *_],
                continuous_load(str(deployed.gateway), requests) as load,
            ):
                await load.answered(20)
                await deployed.write(AFTERWARDS)
                for _ in range(int(STREAM_S)):
                    await asyncio.sleep(1)  # the answers that this is about take their time
                    await first.exchange.say(FIRST)
                    await second.exchange.say(FIRST)
                views = (await deployed.status())["draining"]
                for request in (first, second):
                    await request.exchange.say(LAST)
                    await request.exchange.end()
                    expected = FIRST * int(STREAM_S) + LAST
                    assert (await request.reading.rest()) == expected
            async with asyncio.timeout(WITHIN_S):
                while (await deployed.status())["draining"]:  # noqa: ASYNC110 - it is asked for
                    await asyncio.sleep(0.05)

    assert [(v["pool"], v["server"], v["stage"], v["in_progress"]) for v in views] == [
        ("gone", None, "draining", 2),
        ("told", of_server.address, "draining", 2),
    ]
    assert load.report.failures == 0, load.report.summary()


BOTH = """\
version: 1
pools:
  gone: {endpoints: ["<of_pool>"]}
  told: {endpoints: ["<of_server>"]}
  other: {endpoints: ["<other>", "<spare>"]}
models:
  gone: {pool: gone, paths: [/v1/at-gone]}
  m: {pool: told, paths: [/v1/at-m]}
  kept: {pool: other}
  other: {pool: other}
"""
AFTERWARDS = """\
version: 1
pools:
  told: {endpoints: ["<spare>"]}
  other: {endpoints: ["<other>"]}
models:
  m: {pool: told, paths: [/v1/at-m]}
  kept: {pool: other}
  other: {pool: other}
"""
ONE: Any = {"stages": [True], "protocols": ["HTTP/1.1"]}
