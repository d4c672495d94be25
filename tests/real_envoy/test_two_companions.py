"""Two companions of one Envoy, or two workers of one: no request is lost with one of them.

`on_failure: reject` throughout, where a request that no companion has read would fail.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshots.resources.companion import MESSAGE_TIMEOUT_S
from tests.support.companions import WORKERS, place_with, socket_in, tcp
from tests.support.http1_client import head, http1_client

pytestmark = pytest.mark.envoy

KIB = 1024
WAITS_S = MESSAGE_TIMEOUT_S / 2
"""A request that takes longer than this has waited for a companion that is frozen."""
sizes = pytest.mark.parametrize("text", ["hello", "x" * 300 * KIB], ids=["small", "large"])


def two(folder: Path):
    return place_with(
        socket_in(folder, "a"), socket_in(folder, "b"), on_failure="reject", folder=folder
    )


async def test_envoy_asks_both_be_they_at_sockets_or_ports(tmp_path: Path):
    async with place_with(
        socket_in(tmp_path), tcp(), on_failure="reject", folder=tmp_path
    ) as place:
        report = await place.sent(400)
        answers = [await companion.answers() for companion in place.companions]

    assert (report.statuses, report.failures) == ({200: 400}, 0)
    assert sum(answers) == 400
    assert min(answers) >= 40


@sizes
async def test_no_request_fails_when_one_is_killed_and_comes_back(text: str, tmp_path: Path):
    async with two(tmp_path) as place:
        pushes = await place.pushes()
        async with place.load(text) as load:
            for companion in place.companions:
                await companion.kill()
                await load.answered(50)
                await place.deployed.companions_used(1)
                await companion.start()
                await place.deployed.companions_used(2)
                await load.answered(50)
        answers = [await companion.answers() for companion in place.companions]
        pushed = await place.pushes() - pushes

    assert load.report.failures == 0, load.report.summary()
    assert min(answers) > 0
    assert pushed == 0


@sizes
async def test_no_request_fails_when_a_worker_of_the_only_one_is_killed(text: str, tmp_path: Path):
    async with place_with(
        socket_in(tmp_path), on_failure="reject", folder=tmp_path, arguments=("--workers", 2)
    ) as place:
        [companion] = place.companions
        async with place.load(text) as load:
            for _ in range(2):
                companion.kill_a_worker()
                await load.answered(100)

    assert load.report.failures == 0, load.report.summary()


async def test_few_requests_wait_and_none_fails_when_one_is_frozen(tmp_path: Path):
    async with two(tmp_path) as place:
        frozen, _ = place.companions
        async with place.load() as load:
            frozen.freeze()
            await place.deployed.companions_used(1)
            without = await place.sent()
        # It stayed so until those that waited for it had given it up and asked the other.
        frozen.thaw()
        await place.deployed.companions_used(2)
        again = await place.sent()

    assert load.report.failures == 0, load.report.summary()
    assert without.percentile_s(100) < WAITS_S
    assert sum(latency_s > WAITS_S for latency_s in load.report.latencies_s) <= 2 * WORKERS
    assert (again.failures, again.percentile_s(100) < WAITS_S) == (0, True)


async def test_restarts_in_turn_go_by_without_a_request_that_is_asked_about_twice(tmp_path: Path):
    async with two(tmp_path) as place:
        async with place.load() as load:
            for companion in place.companions:
                assert await companion.stop() == 0
                await load.answered(50)
                await companion.start()
                await place.deployed.companions_used(2)
                await load.answered(50)
        without = await place.answered_without_companion()

    assert (load.report.failures, without) == (0, 0), load.report.summary()


@pytest.mark.parametrize("on_failure", ["native", "reject"])
@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_an_upload_survives_the_companion_that_waits_for_its_end(
    end: str, on_failure: str, tmp_path: Path
):
    sockets = (socket_in(tmp_path, "a"), socket_in(tmp_path, "b"))
    body = b'{"model": "m", "prompt": "' + b"x" * 500 * KIB + b'"}'
    async with (
        place_with(*sockets, on_failure=on_failure, folder=tmp_path) as place,
        http1_client(place.deployed.gateway) as client,
    ):
        await client.send(head(length=len(body)) + body[:1000])
        companion = await place.asked()
        await (companion.kill() if end == "kill" else companion.stop())
        await place.deployed.companions_used(1)
        await client.send(body[1000:])
        answer = await client.answer()

    assert (answer.status, answer.pool) == (200, "renamed")
