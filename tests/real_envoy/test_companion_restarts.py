"""Companions are replaced, and their workers die, under load: no request notices."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.ext_proc_process import RunningCompanion, companion_process, scraped
from tests.support.load import Load, chat_request, continuous_load, run_load
from xds_server.bootstrap import Companion, UnixPath
from xds_server.demo.stack import free_address

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target}
models:
  m: {pool: renamed}
extraction: {on_failure: REACTION}
"""
WEB = ("--metrics-address", "127.0.0.1:0")
CONNECTIONS = 8
ENOUGH = 150
"""Requests between two events."""


@asynccontextmanager
async def gateway(
    folder: Path, on_failure: str, *companions: Companion
) -> AsyncIterator[Deployment]:
    """Run a deployment beside *companions*, all of which run."""
    template = REGISTRY.replace("REACTION", on_failure)
    async with deployment(template, ("renamed",), folder, companions=companions) as deployed:
        await deployed.companions_used(len(companions))
        yield deployed


@asynccontextmanager
async def load_on(deployed: Deployment, text_bytes: int = 100) -> AsyncIterator[Load]:
    requests = [chat_request("m", text="x" * text_bytes)]
    async with continuous_load(str(deployed.gateway), requests, workers=CONNECTIONS) as load:
        await load.answered(ENOUGH)
        yield load


def argument_of(companion: Companion) -> str:
    return f"unix:{companion.path}" if isinstance(companion, UnixPath) else str(companion)


async def requests_of(web_url: str) -> list[float]:
    """Return how many requests each worker has answered."""
    metrics = await scraped(web_url)
    prefix = "modelyard_ext_proc_requests_total{"
    return [value for name, value in metrics.items() if name.startswith(prefix)]


@pytest.mark.parametrize(("kind", "text_bytes"), [("unix", 100), ("tcp", 100), ("unix", 200_000)])
async def test_two_companions_are_restarted_in_turn_without_a_lost_request(
    kind, text_bytes, tmp_path
):
    addresses: tuple[Companion, ...]
    if kind == "unix":
        addresses = (UnixPath(f"{tmp_path}/a"), UnixPath(f"{tmp_path}/b"))
    else:
        addresses = (free_address(), free_address())
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(companion_process(argument_of(address)))
            for address in addresses
        ]
        deployed = await stack.enter_async_context(gateway(tmp_path, "reject", *addresses))
        async with load_on(deployed, text_bytes) as load:
            for address, companion in zip(addresses, running, strict=True):
                ended = await companion.stop()
                assert (ended.code, ended.stderr) == (0, "")
                await load.answered(ENOUGH)
                await stack.enter_async_context(companion_process(argument_of(address)))
                await deployed.companions_used(2)
                await load.answered(ENOUGH)

    assert load.report.failures == 0, load.report.summary()


@pytest.mark.parametrize(("workers", "text_bytes"), [(1, 100), (2, 100), (2, 200_000)])
async def test_one_companion_takes_over_from_another_without_a_lost_request(
    workers, text_bytes, tmp_path
):
    address = UnixPath(f"{tmp_path}/a")
    arguments = (argument_of(address), "--workers", workers, *WEB, "--take-over")
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(companion_process(*arguments))
        deployed = await stack.enter_async_context(gateway(tmp_path, "reject", address))
        async with load_on(deployed, text_bytes) as load:
            for _ in range(3):
                new = await stack.enter_async_context(companion_process(*arguments))
                await load.answered(ENOUGH)
                ended = await old.stop()
                await load.answered(ENOUGH)
                answered = sum(await requests_of(await new.web_url()))
                old = new

                assert ended.code == 0
                assert answered >= ENOUGH / 2

    assert load.report.failures == 0, load.report.summary()


async def test_a_worker_that_is_killed_costs_no_request_where_names_can_be_read_without_it(
    tmp_path,
):
    address = UnixPath(f"{tmp_path}/a")
    arguments = (argument_of(address), "--workers", 2, *WEB)
    async with companion_process(*arguments) as companion:
        web_url = await companion.web_url()
        async with gateway(tmp_path, "native", address) as deployed, load_on(deployed) as load:
            for _ in range(3):
                victim = companion.workers()[-1]
                os.kill(victim, signal.SIGKILL)
                entry = await companion.logged("ext_proc.worker.ended")
                assert entry["pid"] == victim
                await load.answered(ENOUGH)
            restarts = await restarts_seen(companion, web_url, 3)

    assert load.report.failures == 0, load.report.summary()
    assert restarts == 3
    assert len(set(load.report.statuses)) == 1


async def restarts_seen(companion: RunningCompanion, web_url: str, count: int) -> float:
    """Return how many workers were started again, once it is *count* and all are there."""
    while True:
        metrics = await scraped(web_url)
        restarts = metrics["modelyard_ext_proc_worker_restarts_total"]
        if restarts >= count and len(companion.workers()) == 2:
            return restarts


async def test_envoy_takes_one_connection_at_low_load_and_many_on_all_workers_at_high_load(
    tmp_path,
):
    address = UnixPath(f"{tmp_path}/a")
    async with companion_process(argument_of(address), "--workers", 2, *WEB) as companion:
        web_url = await companion.web_url()
        async with gateway(tmp_path, "reject", address) as deployed:
            request = [chat_request("m")]
            at_rest = await connections_of(web_url)
            await run_load(str(deployed.gateway), request, count=50, workers=1)
            at_low_load = await connections_of(web_url)
            before = await requests_of(web_url)
            report = await run_load(str(deployed.gateway), request, count=2000, workers=32)
            at_high_load = await connections_of(web_url)
            after = await requests_of(web_url)

    shares = [(now - then) / 2000 for then, now in zip(before, after, strict=True)]
    assert report.failures == 0
    assert at_rest == 1  # the health check
    assert at_low_load == 2
    assert at_high_load > 3
    assert min(shares) > 0.25, shares


async def connections_of(web_url: str) -> float:
    metrics = await scraped(web_url)
    return sum(metrics[f'modelyard_ext_proc_connections{{worker="{n}"}}'] for n in "01")
