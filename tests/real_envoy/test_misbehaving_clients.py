"""A real Envoy beside clients that flood, do not read, and ask for what nobody may have."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER
from tests.support import command
from tests.support.raw_xds import DELTA, SOTW, RawClient, raw_xds
from tests.support.siege import Siege, delta, siege, sotw
from xds_server.demo.envoy import running_envoy
from xds_server.demo.stack import free_address

pytestmark = pytest.mark.envoy

TIMEOUT_S = 20.0


async def bootstrap(address: str, variant: str) -> str:
    ran = await command.run(
        "bootstrap", "--node-id", "envoy-1", "--xds-address", address, "--variant", variant,
        "--admin-address", "127.0.0.1:0", "--max-connections", "100",
    )  # fmt: skip
    assert ran.code == 0, ran.stderr
    return ran.stdout


async def has_the_edit(besieged: Siege) -> None:
    """Wait until the Envoy has accepted what is served now."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            status = json.loads(await besieged.get("/status"))
            [envoy] = [node for node in status["nodes"] if node["id"] == "envoy-1"]
            if envoy["converged"] and envoy["revision"] == status["revision"]:
                return
            await asyncio.sleep(0.05)


async def flood(client: RawClient) -> None:
    requests = [delta(ENDPOINT, "flood")] * 1_000
    while await client.send(*requests):
        pass


async def test_an_envoy_gets_every_edit_while_others_misbehave(tmp_path, variant):
    gateway = f"gateways: {{default: {{listen: '{free_address()}'}}}}\n"
    async with siege(tmp_path, more=gateway) as besieged, AsyncExitStack() as stack:
        text = await bootstrap(besieged.address, variant)
        await stack.enter_async_context(running_envoy(text, tmp_path))
        for n in range(10):
            deaf = await stack.enter_async_context(raw_xds(besieged.address, window=0))
            deaf.open(SOTW)
            await deaf.send(sotw(CLUSTER, f"deaf-{n}"), sotw(LISTENER))
        noisy = await stack.enter_async_context(raw_xds(besieged.address))
        noisy.open(DELTA)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood(noisy))
            for _ in range(3):
                await besieged.edit()
                await has_the_edit(besieged)
        ended = await noisy.ended()
        await besieged.is_well()
        await has_the_edit(besieged)

    assert ended is not None
    assert "30000 requests at once" in ended[1]
