"""One of two Envoys is killed and started again while clients ask both."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.faults import ANSWERS_BETWEEN, another_envoy, template, weight_is
from tests.support.live_registry import ALWAYS_SERVED, FIRST_SERVERS, requests
from tests.support.load import continuous_load
from tests.support.replicas import replicated
from tests.support.stubborn_client import stubborn_clients
from xds_server.demo.stack import free_address

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]


@asynccontextmanager
async def deployed_with_two(folder, variant):
    """Run a deployment, and yield it with where a second Envoy, yet to start, is to listen."""
    others = {"second": free_address()}
    async with replicated(
        template(1, others), FIRST_SERVERS, folder, variant, replicas=1
    ) as deployed:
        yield deployed, others


async def test_clients_that_ask_the_other_lose_nothing(variant, tmp_path, measured):
    async with (
        deployed_with_two(tmp_path, variant) as (deployed, others),
        another_envoy(deployed, "second") as killed,
    ):
        first, second = deployed.url, f"http://{others['second']}"
        async with (
            continuous_load(str(deployed.gateway), requests(), workers=2) as load,
            stubborn_clients((first, second), ALWAYS_SERVED) as clients,
        ):
            await clients.answered(ANSWERS_BETWEEN, second)
            killed.process.kill()
            await killed.process.wait()
            await clients.answered(ANSWERS_BETWEEN)
            deployed.copy_out(template(7, others))
            await weight_is(7, deployed.envoy)
            async with AsyncExitStack() as stack:
                with measured.recovery():
                    started = another_envoy(deployed, "second")
                    envoy = await stack.enter_async_context(started)
                    await clients.answered(1, second)
                await weight_is(7, envoy)
                await clients.answered(ANSWERS_BETWEEN, second)

    assert load.report.failures == 0, load.report.summary()
    assert {status for _, status in clients.answers} == {200}
    assert clients.asked_again
    assert not clients.lost
