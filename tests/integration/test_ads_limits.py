"""Limits of the xDS port that take time, or another size, to be seen."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc

from snapshots.type_urls import CLUSTER, ENDPOINT
from tests.support.ads_client import AdsClient
from tests.support.certificates import Authority
from tests.support.raw_xds import DELTA, raw_xds
from tests.support.siege import delta, until
from tests.support.snapshots import cluster, pool
from tests.support.xds_server import xds_server
from xds_server.ads import SERVER_OPTIONS
from xds_server.guard.limits import Limits

SOON_MS = 300
PINGS = ("keepalive_time_ms", "keepalive_timeout_ms", "http2.ping_timeout_ms")


async def test_a_stream_in_which_nothing_is_said_ends():
    async with (
        xds_server(kept=Limits(first_request_s=0.2)) as server,
        raw_xds(server.address) as client,
    ):
        client.open(DELTA)

        assert await client.ended() == (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "the first request of a stream must be there within 0.2 s",
        )
        assert server.metric("modelyard_xds_streams_limited_total", limit="silence") == 1


async def test_a_first_request_in_time_is_not_cut_off_later(variant):
    async with (
        xds_server(kept=Limits(first_request_s=0.2)) as server,
        AdsClient(server.address, variant) as client,
    ):
        server.publish(cluster("p"))
        await client.subscribe(CLUSTER)
        await client.settle()
        async with raw_xds(server.address) as silent:
            silent.open(DELTA)
            await silent.ended()

        await client.expect_nothing()


async def test_a_connection_on_which_nothing_is_said_is_closed():
    async with (
        xds_server(server_handshake_timeout_ms=SOON_MS) as server,
        raw_xds(server.address, greets=False) as client,
        asyncio.timeout(10),
    ):
        await client.lost.wait()


async def test_a_tls_handshake_that_is_never_finished_ends():
    certificate, key = Authority().issue("localhost", timedelta(days=1))
    async with xds_server() as _, asyncio.timeout(10):
        server = grpc.aio.server(options=[("grpc.server_handshake_timeout_ms", SOON_MS)])
        port = server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)])
        )
        await server.start()
        try:
            async with raw_xds(f"127.0.0.1:{port}", greets=False) as client:
                client.say(b"\x16\x03\x01")
                await client.lost.wait()
        finally:
            await server.stop(None)


async def test_a_connection_without_a_stream_is_closed():
    async with (
        xds_server(max_connection_idle_ms=SOON_MS) as server,
        raw_xds(server.address) as client,
        asyncio.timeout(10),
    ):
        await client.lost.wait()


async def test_who_answers_no_ping_is_gone():
    soon = dict.fromkeys(PINGS, SOON_MS)
    assert soon.keys() <= {name.removeprefix("grpc.") for name, _ in SERVER_OPTIONS}
    async with (
        xds_server(**soon) as server,
        raw_xds(server.address) as client,
        asyncio.timeout(10),
    ):
        server.publish(*pool("p"))
        client.open(DELTA)
        await client.send(delta(CLUSTER))
        await until(lambda: server.metric("modelyard_xds_streams") == 1)
        client.listen(listens=False)
        await until(lambda: server.metric("modelyard_xds_streams") == 0)

        assert not server.fleet.nodes()[0].connected


async def test_who_asks_for_what_there_is_is_within_the_limit_however_much_that_is(variant):
    pools = [resource for n in range(10) for resource in pool(f"p{n}")]
    names = [resource.name for resource in pools if resource.type_url == ENDPOINT]
    kept = Limits(names=4, names_per_resource=1)
    async with xds_server(kept=kept) as server, AdsClient(server.address, variant) as client:
        server.publish(*pools)
        await client.subscribe(CLUSTER)
        await client.subscribe(ENDPOINT, *names)
        await client.settle()

        server.publish(*pools[:2])
        await client.ack(await client.read())  # and still asks for all that there was
        await client.settle()
        assert server.metric("modelyard_xds_streams_limited_total", limit="names") == 0

        await client.add(ENDPOINT, *(f"made-up-{n}" for n in range(10)))
        code, words = await client.status()

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert words == "a stream can subscribe to 4 names, and say that it holds as many"
