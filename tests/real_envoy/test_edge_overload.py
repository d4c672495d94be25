"""An Envoy that runs short of memory or connections says no, and stays alive."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp
import pytest

from tests.support.attacks import BODY
from tests.support.deployment import deployment
from tests.support.edge_page import told_answers
from tests.support.http1_client import Http1Client, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.http2_frames import http2_outcome
from tests.support.told_server import told_server
from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, render_bootstrap
from xds_server.demo.envoy import running_envoy
from xds_server.demo.stack import LOOPBACK, free_address

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  one: {endpoints: ["<one>"]}
  told: {endpoints: ["<told>"]}
models:
  one: {pool: one}
  told: {pool: told}
"""
UPLOAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 15999999\r\n\r\n"
ASKED = whole(BODY)
HEAP = "envoy.resource_monitors.fixed_heap"
ACTIONS = "overload.envoy.overload_actions"
STOPS = f"{ACTIONS}.stop_accepting_requests.active"
REFUSES = f"{ACTIONS}.reject_incoming_connections.active"
UPLOAD_S = 3.0
WITHIN_S = 20.0
LOOK_AGAIN_S = 0.02


@asynccontextmanager
async def envoy_of(deployed, folder, *, pressure=None, **bounds):
    """Run a second Envoy of *deployed* with *bounds*; yields it and where it takes requests.

    *pressure* is a file that says how full the heap is, in its stead.
    """
    _, ready = deployed.control_plane.running
    gateway = free_address()
    folder.mkdir()
    second = f', second: {{listen: "{gateway}", node_cluster: second}}}}\n'
    await deployed.edit("}}\n", "}" + second)
    bootstrap = render_bootstrap(
        Bootstrap(
            node_id="second",
            node_cluster="second",
            xds=(ready.xds_address,),
            ext_proc=(UnixPath(str(deployed.folder / "ext-proc.sock")),),
            admin=Address(LOOPBACK, 0),
            variant=deployed.variant,
            **{"max_connections": 100} | bounds,
        )
    )
    if pressure is not None:
        bootstrap = injected(bootstrap, pressure)
    async with running_envoy(bootstrap, folder) as envoy:
        await deployed.converged()
        yield envoy, gateway


def injected(bootstrap: str, pressure) -> str:
    """Return *bootstrap* with a heap that is as full as the file *pressure* says."""
    before, _, after = bootstrap.partition(f"- name: {HEAP}\n")
    monitor, _, rest = after.partition("  - name: ")
    assert "max_heap_size_bytes" in monitor
    kind = "type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3"
    new = (
        "- name: envoy.resource_monitors.injected_resource\n    typed_config:\n"
        f'      "@type": {kind}.InjectedResourceConfig\n      filename: {pressure}\n'
    )
    text = before + new + "  - name: " + rest
    return text.replace(HEAP, "envoy.resource_monitors.injected_resource")


async def press(pressure, share: float) -> None:
    """Say how full the heap is, as one who replaces the file."""
    new = pressure.with_suffix(".new")
    new.write_text(str(share))
    new.replace(pressure)


async def stat(envoy, name: str) -> int:
    async with aiohttp.ClientSession() as session:
        url = f"http://{envoy.admin_address}/stats?format=json&filter=^{name}$"
        async with session.get(url) as answer:
            [found] = (await answer.json(content_type=None))["stats"]
    return found["value"]


async def becomes(envoy, name: str, value: int) -> None:
    """Wait until the counter or gauge *name* of *envoy* is *value*."""
    async with asyncio.timeout(WITHIN_S):
        while await stat(envoy, name) != value:  # noqa: ASYNC110 - Envoy only answers
            await asyncio.sleep(LOOK_AGAIN_S)


async def test_more_connections_than_allowed_are_closed_at_once(tmp_path):
    async with (
        deployment(REGISTRY, ("one", "told"), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", max_connections=3) as (envoy, gateway),
        AsyncExitStack() as connections,
    ):
        held = [await connections.enter_async_context(http1_client(gateway)) for _ in range(3)]
        for client in held:
            await client.send(ASKED)
            assert (await client.answer()).status == 200
        async with http1_client(gateway) as more:
            await more.closed()
        outcome = await http2_outcome(gateway, [(":method", "GET")], b"")
        counted = await stat(envoy, rf"listener\..*_{gateway.port}\.downstream_global_cx_overflow")
        for client in held:
            await client.send(ASKED)
            assert (await client.answer()).status == 200

    told = told_answers()["More connections than `--max-connections`"]
    assert (told.http1, told.http2) == ("connection closed", outcome)
    assert counted == 2


async def test_an_envoy_short_of_memory_says_so_and_recovers(tmp_path):
    pressure = tmp_path / "pressure"
    await press(pressure, 0.5)
    async with (
        deployment(REGISTRY, ("one", "told"), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", pressure=pressure) as (envoy, gateway),
    ):
        await press(pressure, 0.96)
        await becomes(envoy, STOPS, 1)
        async with http1_client(gateway) as client:
            await client.send(ASKED)
            refused = await client.answer()
        async with http2_client(gateway) as stream:
            refused_stream = await stream.ask([BODY])
        await press(pressure, 0.5)
        await becomes(envoy, STOPS, 0)
        async with http1_client(gateway) as client:
            await client.send(ASKED)
            served = await client.answer()

    told = told_answers()["Anything, while memory is short"]
    for answer, words in ((refused, told.http1), (refused_stream, told.http2)):
        assert f"{answer.status} `{answer.error['code']}`" == words
        assert answer.headers["retry-after"] == "5"
    assert served.status == 200


async def test_at_the_end_of_its_memory_it_takes_no_connection_and_the_operator_gets_in(tmp_path):
    pressure = tmp_path / "pressure"
    await press(pressure, 0.5)
    async with (
        deployment(REGISTRY, ("one", "told"), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", pressure=pressure) as (envoy, gateway),
    ):
        await press(pressure, 0.99)
        await becomes(envoy, REFUSES, 1)
        async with http1_client(gateway) as client:
            await client.closed()

        assert await stat(envoy, "server.live") == 1


async def test_short_of_memory_it_cuts_uploads_and_no_answer(tmp_path):
    pressure = tmp_path / "pressure"
    await press(pressure, 0.5)
    async with (
        told_server() as server,
        deployment(REGISTRY.replace("<told>", server.address), ("one",), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", pressure=pressure) as (envoy, gateway),
        http1_client(gateway) as uploading,
        http1_client(gateway) as first,
        http2_client(gateway) as second,
    ):
        await uploading.send(UPLOAD + bytes(1000))
        await first.send(whole(b'{"model": "told"}'))
        exchanges = [await server.next()]
        stream = await second.open()
        await second.send(stream, [b'{"model": "told"}'])
        exchanges.append(await server.next())
        for exchange in exchanges:
            await exchange.start()
            await exchange.say(b"data: 1\n\n")
        await press(pressure, 0.975)
        await becomes(envoy, STOPS, 1)
        await uploading.send(bytes(1000))
        cut = await uploading.answer()
        await uploading.closed()
        for exchange in exchanges:
            await exchange.say(b"data: 2\n\n")
            await exchange.end()
        answers = [await first.answer(), await second.answer(stream)]

    told = told_answers()["An upload, while memory is short"].http1
    assert f"{cut.status} `{cut.error['code']}`" == told
    assert {answer.body for answer in answers} == {b"data: 1\n\ndata: 2\n\n"}


async def test_uploads_that_fill_the_heap_are_cut_and_others_are_served(tmp_path):
    async with (
        deployment(REGISTRY, ("one", "told"), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", max_heap_bytes=128 * 2**20) as (envoy, gateway),
        AsyncExitStack() as connections,
    ):
        clients = [await connections.enter_async_context(http1_client(gateway)) for _ in range(40)]
        async with asyncio.TaskGroup() as uploads:
            for client in clients:
                uploads.create_task(begin(client, UPLOAD + b" " * 15_000_000))
        await becomes(envoy, REFUSES, 0)
        await becomes(envoy, STOPS, 0)
        async with http1_client(gateway) as client:
            await client.send(ASKED)
            served = await client.answer()

    assert served.status == 200


async def test_streams_that_fill_the_heap_are_reset_and_others_are_served(tmp_path):
    async with (
        deployment(REGISTRY, ("one", "told"), tmp_path) as deployed,
        envoy_of(deployed, tmp_path / "second", max_heap_bytes=128 * 2**20) as (envoy, gateway),
        http2_client(gateway) as client,
    ):
        streams = [await client.open() for _ in range(20)]
        for _ in range(15):
            for stream in streams:
                await client.send_data(stream, b" " * 1_000_000)
        reset = {client.reset_code(stream) for stream in streams}
        await becomes(envoy, STOPS, 0)
        served = await client.ask([BODY])

    assert reset - {None}
    assert served.status == 200


async def begin(client: Http1Client, data: bytes) -> None:
    """Send *data* as far as that goes."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(UPLOAD_S):
            await client.send(data)
