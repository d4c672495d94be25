"""The only companion is killed, frozen, slow or restarted while clients send requests.

Who has read a name is told by what the companion counts: both extractions answer alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from snapshots.resources.companion import MESSAGE_TIMEOUT_S
from tests.support.companions import (
    REGISTRY,
    WORKERS,
    CompanionProcess,
    Place,
    companions_at,
    place_with,
    socket_in,
)
from tests.support.deployment import Answer, deployment
from tests.support.load_report import LoadReport

pytestmark = pytest.mark.envoy

NOTICED_S = 5.0
"""Several times of what it takes on a machine that has nothing else to do."""
WAITS_S = MESSAGE_TIMEOUT_S / 2
"""A request that takes longer than this has waited for the companion."""
UNAVAILABLE = {
    "error": {
        "message": "The gateway cannot read the model name at the moment. Try again later.",
        "type": "server_error",
        "param": None,
        "code": "extraction_unavailable",
    }
}

Act = Callable[[CompanionProcess], Awaitable[None]]
either_reaction = pytest.mark.parametrize("on_failure", ["native", "reject"])


async def kill(companion: CompanionProcess) -> None:
    await companion.kill()


async def start(companion: CompanionProcess) -> None:
    await companion.start()


async def freeze(companion: CompanionProcess) -> None:
    companion.freeze()


async def thaw(companion: CompanionProcess) -> None:
    companion.thaw()


async def replace(companion: CompanionProcess) -> None:
    await companion.kill()
    await companion.start()


async def stop(companion: CompanionProcess) -> None:
    assert await companion.stop() == 0


def assert_answered(report: LoadReport, on_failure: str) -> None:
    """No failure if names can be read without the companion, else only the one that says so."""
    if on_failure == "native":
        assert report.failures == 0, report.summary()
        return
    assert set(report.statuses) <= {200, 503}
    assert report.failures == report.statuses[503]
    for error in report.errors:
        assert json.loads(error.removeprefix("503: ")) == UNAVAILABLE


def assert_no_waiting(report: LoadReport) -> None:
    waited = [sample.latency_s for sample in report.failed if sample.latency_s > WAITS_S]
    assert not waited
    assert report.percentile_s(100) < WAITS_S


def assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.json) == (503, UNAVAILABLE)
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["retry-after"]) > 0


@either_reaction
@pytest.mark.parametrize(
    ("fail", "repair"),
    [(kill, start), (stop, start), (freeze, thaw), (freeze, replace)],
    ids=["killed", "stopped", "frozen", "frozen-and-killed"],
)
async def test_requests_go_on_or_are_refused_at_once_until_the_companion_is_back(
    fail: Act, repair: Act, on_failure: str, tmp_path: Path
):
    async with place_with(socket_in(tmp_path), on_failure=on_failure, folder=tmp_path) as place:
        [companion] = place.companions
        pushes = await place.pushes()
        async with place.load() as load:
            failed_s = time.perf_counter()
            await fail(companion)
            first = await place.deployed.chat("m")
            await place.deployed.companions_used(0)
            noticed_s = time.perf_counter() - failed_s
            without = await place.sent()
            await repair(companion)
            await place.deployed.companions_used(1)
            answered = await companion.answers()
            again = await place.sent()
            answers = await companion.answers() - answered
        pushed = await place.pushes() - pushes

    assert_answered(load.report, on_failure)
    assert_answered(without, on_failure)
    assert_no_waiting(without)
    assert noticed_s < NOTICED_S
    if on_failure == "native":
        assert first.status == 200
        # Each connection waits once or twice until it is noticed that nobody answers.
        assert sum(s > WAITS_S for s in load.report.latencies_s) <= 3 * WORKERS
    else:
        assert_unavailable(first)
        assert without.statuses == {503: 200}
    assert (again.statuses, again.failures) == ({200: 200}, 0)
    assert answers >= 200
    assert pushed == 0


@either_reaction
async def test_a_companion_that_stutters_stays_in_use_and_fails_no_request(
    on_failure: str, tmp_path: Path
):
    async with place_with(socket_in(tmp_path), on_failure=on_failure, folder=tmp_path) as place:
        [companion] = place.companions
        answered = await companion.answers()
        async with stuttering(companion):
            report = await place.sent(100)
        answers = await companion.answers() - answered
        without = await place.answered_without_companion()

    assert (report.statuses, report.failures) == ({200: 100}, 0)
    assert (answers, without) == (100, 0)


@asynccontextmanager
async def stuttering(
    companion: CompanionProcess, frozen_s: float = 0.1, running_s: float = 0.02
) -> AsyncIterator[None]:
    """Freeze *companion* again and again meanwhile, for less than requests wait."""

    async def stutter() -> None:
        while True:
            companion.freeze()
            await asyncio.sleep(frozen_s)
            companion.thaw()
            await asyncio.sleep(running_s)

    task = asyncio.get_running_loop().create_task(stutter())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        companion.thaw()


@either_reaction
@pytest.mark.parametrize("state", ["missing", "frozen"])
async def test_an_envoy_starts_beside_a_companion_that_does_not_answer(
    state: str, on_failure: str, tmp_path: Path
):
    socket = socket_in(tmp_path)
    template = REGISTRY.replace("REACTION", on_failure)
    async with companions_at(socket) as [companion]:
        if state == "missing":
            await companion.kill()
        else:
            companion.freeze()
        started_s = time.perf_counter()
        async with deployment(template, ("renamed",), tmp_path, companions=(socket,)) as deployed:
            took_s = time.perf_counter() - started_s
            place = Place(deployed, [companion])
            without = await place.sent(50)
            await (companion.start() if state == "missing" else thaw(companion))
            await deployed.companions_used(1)
            again = await place.sent(50)
            answers = await companion.answers()

    assert took_s < NOTICED_S
    assert without.statuses == ({200: 50} if on_failure == "native" else {503: 50})
    assert_answered(without, on_failure)
    assert_no_waiting(without)
    assert (again.statuses, again.failures) == ({200: 50}, 0)
    assert answers == 50
