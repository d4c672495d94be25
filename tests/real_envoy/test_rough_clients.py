"""Uploads that are broken off, and many at once: others go on, and nothing is kept afterwards.

With `--soak`, longer and in greater numbers, as `make soak` does.
"""

import random

import pytest
import pytest_asyncio

from tests.support.load import chat_request, continuous_load
from tests.support.modes import MODES
from tests.support.rough import (
    broken_off_uploads,
    chat_of,
    roughed,
    uploads_at_once,
)
from tests.support.two_pools import two_pools

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MB = 1_000_000
COMPANION_MIB = 400
"""Far above what it needs, and far below what it would hold if it took all that comes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
async def rough(request, tmp_path_factory):
    async with roughed(
        two_pools(), request.param, tmp_path_factory.mktemp("deployment")
    ) as running:
        yield running


async def test_uploads_that_are_broken_off_harm_no_other_and_leave_nothing(rough, soak):
    chance = random.Random(3)
    requests = [chat_request("m"), chat_request("same")]
    async with continuous_load(str(rough.deployed.gateway), requests, workers=2) as load:
        await broken_off_uploads(rough, 5_000 if soak else 500, chat_of(MB // 4, "m"), chance)
        await load.answered(10)
    await rough.at_rest()

    assert load.report.failures == 0, load.report.summary()
    errors = await rough.deployed.stats(r"^http\.default\.downstream_rq_5xx$")
    assert list(errors.values()) == [0]


async def test_many_uploads_at_once_are_all_answered_and_memory_does_not_grow(rough, soak):
    """Memory has its height in the first half of the rounds, and keeps it."""
    count, rounds = (500, 10) if soak else (60, 4)
    body = chat_of(MB, "same")
    print(f"before: {rough.resident_mib()}")
    done = []
    for _ in range(rounds):
        done.append(await uploads_at_once(rough, count, body))
        print(done[-1])
    last = done[-1].resident_mib
    height = {name: max(one.resident_mib[name] for one in done[: rounds // 2]) for name in last}

    assert [dict(one.outcomes) for one in done] == [{"200 whole": count}] * rounds
    assert all(mib <= height[name] * 1.15 + 16 for name, mib in last.items()), (height, last)
    assert last.get("companion", 0) < COMPANION_MIB
