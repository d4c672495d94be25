"""How a companion ends: who asks for its health hears of it first, and a second signal hurries."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from tests.support.ext_proc_client import client_of
from tests.support.ext_proc_process import Ended, companion_process

LLAMA = b'{"model": "llama"}'
WEB = ("--metrics-address", "127.0.0.1:0")
WORKERS = pytest.mark.parametrize("workers", [1, 2])
LONG = "60s"
"""No test lives as long."""


@pytest.fixture
def unix_address(tmp_path) -> str:
    return f"unix:{tmp_path}/s"


async def not_ready(web_url: str) -> None:
    """Return once the web interface says that the companion is to stop."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{web_url}/readyz") as answer:
                if answer.status == 503:
                    return


@WORKERS
async def test_it_serves_on_until_who_asks_for_its_health_has_heard_of_the_end(
    workers, unix_address
):
    arguments = ("--workers", workers, *WEB, "--drain-time", LONG)
    async with companion_process(unix_address, *arguments) as running:
        web_url = await running.web_url()
        asking, other = client_of(unix_address), client_of(unix_address)
        async with asking.channel, other.channel:
            assert await asking.health_of("") == "SERVING"
            assert await other.name_in(LLAMA) == "llama"
            running.process.terminate()
            await not_ready(web_url)

            newcomer = client_of(unix_address)
            async with newcomer.channel:
                names = [await client.name_in(LLAMA) for client in (asking, other, newcomer)]
            assert await asking.health_of("") == "NOT_SERVING"
            ended = await running.ended()

    assert names == ["llama"] * 3
    assert ended == Ended(0, "", "")


@WORKERS
async def test_with_nobody_to_tell_it_does_not_wait(workers, unix_address):
    arguments = ("--workers", workers, "--drain-time", LONG)
    async with companion_process(unix_address, *arguments) as running:
        client = client_of(unix_address)
        async with client.channel:
            assert await client.name_in(LLAMA) == "llama"
        ended = await running.stop()

    assert ended == Ended(0, "", "")


@WORKERS
async def test_it_waits_no_longer_than_it_may_for_who_does_not_ask_again(workers, unix_address):
    arguments = ("--workers", workers, "--drain-time", "200ms")
    async with companion_process(unix_address, *arguments) as running:
        asking = client_of(unix_address)
        async with asking.channel:
            await asking.health_of("")
            ended = await running.stop()

    assert ended.code == 0
    assert "ext_proc.stop.unheard" in ended.stderr


@WORKERS
async def test_with_a_drain_time_of_0_it_ends_at_once(workers, unix_address):
    arguments = ("--workers", workers, "--drain-time", "0")
    async with companion_process(unix_address, *arguments) as running:
        asking = client_of(unix_address)
        async with asking.channel:
            await asking.health_of("")
            ended = await running.stop()

    assert ended == Ended(0, "", "")


@WORKERS
async def test_a_second_signal_ends_it_at_once(workers, unix_address):
    arguments = ("--workers", workers, *WEB, "--drain-time", LONG)
    async with companion_process(unix_address, *arguments) as running:
        web_url = await running.web_url()
        asking = client_of(unix_address)
        async with asking.channel:
            await asking.health_of("")
            await asking.after_headers()
            running.process.terminate()
            await not_ready(web_url)
            started_s = time.perf_counter()
            ended = await running.stop()

    assert ended.code == 1
    assert ended.stderr.startswith("Error: stopped ")
    assert time.perf_counter() - started_s < 5


@WORKERS
async def test_a_companion_whose_socket_was_taken_over_does_not_say_that_the_socket_is_not_serving(
    workers, unix_address
):
    arguments = ("--workers", workers, *WEB, "--take-over", "--drain-time", LONG)
    async with companion_process(unix_address, *arguments) as old:
        old_web = await old.web_url()
        asking = client_of(unix_address)
        async with asking.channel:
            await asking.health_of("")
            call = await asking.after_headers()
            async with companion_process(unix_address, *arguments) as new:
                new_web = await new.web_url()
                old.process.terminate()
                await asking.told_to_leave()
                newcomer = client_of(unix_address)
                async with newcomer.channel:
                    health = await newcomer.health_of("")
                    name = await newcomer.name_in(LLAMA)
                call.cancel()
                ended = await old.ended()

    assert old_web != new_web
    assert health == "SERVING"
    assert ended == Ended(0, "", "")
    assert name == "llama"
