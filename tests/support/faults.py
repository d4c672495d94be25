"""One control plane and one Envoy under load, to which something happens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp

from tests.support.live_registry import FIRST_SERVERS, first_template, requests
from tests.support.load import Load, continuous_load
from tests.support.replicas import Replicated, replicated, until
from xds_server.address import Address
from xds_server.demo.envoy import Envoy, running_envoy

ANSWERS_BETWEEN = 40


def template(weight: int, others: Mapping[str, Address] = {}) -> str:
    """Return a registry that differs by a weight; with *others* to listen, by node cluster."""
    content = json.loads(first_template())
    content["models"]["chat"]["split"]["base"] = weight
    if others:
        content["gateways"]["default"]["node_cluster"] = "default"
    for name, address in others.items():
        content["gateways"][name] = {"listen": str(address), "node_cluster": name}
    return json.dumps(content) + "\n"  # whole: used as soon as it is seen


@asynccontextmanager
async def under_load(
    folder: Path, variant: str, **how: Any
) -> AsyncIterator[tuple[Replicated, Load]]:
    """Run one control plane, as *how* tells `replicated`, and one Envoy, and ask it all the time.

    Every request has to be answered well.
    """
    async with (
        replicated(template(1), FIRST_SERVERS, folder, variant, replicas=1, **how) as deployed,
        continuous_load(str(deployed.gateway), requests(), workers=4) as load,
    ):
        await load.answered(ANSWERS_BETWEEN)
        yield deployed, load
        await load.answered(ANSWERS_BETWEEN)
    assert load.report.failures == 0, load.report.summary()


@asynccontextmanager
async def another_envoy(
    deployed: Replicated, name: str, xds: tuple[Address, ...] = ()
) -> AsyncIterator[Envoy]:
    """Run an Envoy of the node cluster *name* in *deployed* meanwhile, told at *xds* if given."""
    folder = deployed.folder / name
    folder.mkdir(exist_ok=True)
    async with running_envoy(deployed.bootstrap(name, name, xds=xds), folder) as envoy:
        yield envoy


async def weight_is(weight: int, *envoys: Envoy) -> None:
    """Wait until each of *envoys* runs the registry with *weight*."""
    async with aiohttp.ClientSession() as session:
        for envoy in envoys:
            await until(lambda one=envoy: _holds(session, one, weight))


async def _holds(session: aiohttp.ClientSession, envoy: Envoy, weight: int) -> bool:
    url = f"http://{envoy.admin_address}/config_dump?resource=dynamic_route_configs"
    async with session.get(url) as answer:
        dump = await answer.json(content_type=None)
    scoped = (entry["route_config"] for entry in dump.get("configs", ()))
    chat = [str(route) for route in scoped if route["name"] == "model/chat"]
    ends = (f"'weight': {weight},", f"'weight': {weight}}}")
    return bool(chat) and any(end in chat[0] for end in ends)


async def lasting(load: Load, seconds: float) -> None:
    """Wait until *load* had an answer to a request that was sent *seconds* from now."""
    end = perf_counter() + seconds
    await load.first(lambda sample: sample.started_s >= end and not sample.error)
