"""The xDS client that other tests rely on notices what it should notice."""

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER
from tests.support.ads_client import AdsClient
from tests.support.snapshots import cluster, endpoints, listener, pool
from tests.support.xds_server import xds_server


@pytest.fixture
async def server():
    async with xds_server() as running:
        yield running


@pytest.fixture(params=["delta", "sotw"])
async def client(server, request):
    async with AdsClient(server.address, request.param) as connected:
        yield connected


async def test_it_reads_names_versions_and_bodies(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)

    told = await client.expect(CLUSTER)

    assert told.names == ["p"]
    assert told.resources[0].version == cluster("p").version
    assert told.resources[0].body == cluster("p").body


async def test_it_notices_another_type_than_expected(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)

    with pytest.raises(AssertionError):
        await client.expect(LISTENER)


async def test_it_notices_something_where_nothing_was_expected(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)
    await client.ack(await client.expect(CLUSTER))
    await client.expect_nothing()

    server.publish(cluster("p", "2"), endpoints("p"))

    with pytest.raises(AssertionError):
        await client.expect_nothing()


async def test_it_holds_what_it_acked_and_not_what_it_refused(server, client):
    server.publish(cluster("p", "1"))
    await client.subscribe(CLUSTER)
    await client.ack(await client.expect(CLUSTER))
    server.publish(cluster("p", "2"))
    await client.nack(await client.expect(CLUSTER))

    assert client.held[CLUSTER] == {"p": cluster("p", "1")}


async def test_it_tells_a_refusal(server, client):
    server.publish(cluster("p"))
    await client.subscribe(CLUSTER)
    await client.nack(await client.expect(CLUSTER), "p: no good")
    await client.expect_nothing()

    assert server.fleet.nodes()[0].rejected.error_detail == "p: no good"


async def test_it_adds_and_drops_names(server, client):
    server.publish(endpoints("a"), endpoints("b"))
    await client.subscribe(ENDPOINT, "a")
    await client.settle()

    await client.add(ENDPOINT, "b")
    told = await client.expect(ENDPOINT)
    assert told.names == ["b"]
    await client.ack(told)

    await client.drop(ENDPOINT, "a")
    await client.expect_nothing()  # so the server has heard it before it has something to tell
    server.publish(endpoints("a", "2"), endpoints("b"))
    await client.expect_nothing()


async def test_it_settles_when_there_is_nothing_more(server, client):
    server.publish(*pool("p"), listener("l"))
    await client.subscribe(CLUSTER)
    await client.subscribe(LISTENER)

    told = await client.settle()

    assert [one.type_url for one in told] == [CLUSTER, LISTENER]
    await client.expect_nothing()


async def test_it_says_again_what_it_wants_when_it_reconnects(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)
    await client.settle()

    await client.reconnect()
    await client.settle()
    server.publish(cluster("p", "2"), endpoints("p"))

    assert (await client.expect(CLUSTER)).resources == (cluster("p", "2"),)


async def test_it_tells_how_the_stream_ended(server, client):
    await client.subscribe(CLUSTER)
    await client.half_close()

    code, _details = await client.status()

    assert code.name == "OK"
