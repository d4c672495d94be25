"""How ADS streams begin and end, in both variants."""

from __future__ import annotations

import asyncio

import grpc
from envoy.config.core.v3 import base_pb2
from structlog.testing import capture_logs

from snapshots.snapshot import NO_GATEWAY, Snapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl
from tests.support.ads_client import AdsClient
from tests.support.snapshots import (
    cluster,
    listener,
    model,
    pool,
    route,
    snapshot,
)
from tests.support.xds_server import start, xds_server
from xds_server.guard.limits import Limits


def stream_tasks() -> set[asyncio.Task]:
    """Return the tasks that streams started."""
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "").startswith("AdsStream.")
    }


async def test_after_a_reconnect_only_what_changed_is_told(server):
    async with AdsClient(server.address, "delta") as client:
        before = [*pool("p"), listener("l"), *model("m", "p")]
        server.publish(*before)
        await start(client, *before)

        await client.reconnect()
        await client.expect_nothing()
        assert server.fleet.nodes()[0].converged

        server.publish(*pool("p"), listener("l"), *model("m", "p", content="2"))
        assert (await client.expect(ROUTE)).resources == (route("m", "p", content="2"),)


async def test_a_state_of_the_world_client_may_reconnect(server):
    async with AdsClient(server.address, "sotw") as client:
        before = [*pool("p"), listener("l"), *model("m", "p")]
        server.publish(*before)
        await start(client, *before)

        await client.reconnect()
        told = await client.settle()

        assert {t.type_url for t in told} == {CLUSTER, ENDPOINT, LISTENER, SCOPED_ROUTE, ROUTE}
        assert server.fleet.nodes()[0].converged


async def test_a_node_that_no_gateway_wants_is_answered_and_told_of_once(server, variant):
    groups = {"elsewhere": snapshot(*pool("p")).nodes["*"]}
    server.store.publish(Snapshot.of(groups))
    with capture_logs() as logged:
        async with AdsClient(server.address, variant) as client:
            await client.subscribe(CLUSTER)
            assert (await client.expect(CLUSTER)).resources == ()
            server.store.publish(
                Snapshot.of({"elsewhere": groups["elsewhere"], "more": NO_GATEWAY})
            )
            await client.expect_nothing()
            status = server.fleet.nodes()[0]

    told = [line for line in logged if line["event"] == "xds.node.unmatched"]
    assert [(line["log_level"], line["node_cluster"]) for line in told] == [("warning", "")]
    assert status.gateway == ""


async def test_a_first_request_without_a_node_is_refused(server, variant):
    async with AdsClient(server.address, variant, node=base_pb2.Node()) as client:
        await client.subscribe(CLUSTER)

        code, details = await client.status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node" in details
    assert server.fleet.nodes() == []


async def test_a_request_without_a_type_is_refused(server, client):
    server.publish(cluster("p"))
    await client.subscribe(CLUSTER)
    await client.expect(CLUSTER)

    await client.subscribe(TypeUrl(""))
    code, details = await client.status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "type_url" in details


async def test_a_stream_cannot_ask_for_types_without_end(server, client):
    server.publish(cluster("p"))
    for n in range(Limits().types):
        await client.subscribe(TypeUrl(f"type.googleapis.com/made.up.{n}"))
        await client.read()

    await client.subscribe(CLUSTER)
    code, details = await client.status()

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "256 types" in details


async def test_a_half_close_ends_the_stream_in_peace(server, client):
    server.publish(cluster("p"))
    await client.subscribe(CLUSTER)
    await client.expect(CLUSTER)

    await client.half_close()
    code, _details = await client.status()

    assert code is grpc.StatusCode.OK
    assert not server.fleet.nodes()[0].connected
    assert server.metric("modelyard_xds_streams") == 0


async def test_a_client_that_vanishes_leaves_nothing_behind(server, variant, caplog):
    server.publish(cluster("p"))
    async with AdsClient(server.address, variant) as client:
        await client.subscribe(CLUSTER)
        await client.expect(CLUSTER)
        assert server.metric("modelyard_xds_streams") == 1

        left = stream_tasks()
        assert len(left) == 4

    await asyncio.wait(left, timeout=5)

    assert not stream_tasks()
    assert server.metric("modelyard_xds_streams") == 0
    assert not server.fleet.nodes()[0].connected
    assert not caplog.records


async def test_closing_ends_every_stream_at_once(server, client, caplog):
    server.publish(cluster("p"))
    await client.subscribe(CLUSTER)
    await client.expect(CLUSTER)

    server.ads.close()
    async with asyncio.timeout(5):
        await server.grpc.stop(60)
    code, _details = await client.status()

    assert code is grpc.StatusCode.UNAVAILABLE
    assert not caplog.records


async def test_a_server_that_stops_without_closing_leaves_no_traceback(variant, caplog):
    async with xds_server() as server, AdsClient(server.address, variant) as client:
        server.publish(cluster("p"))
        await client.subscribe(CLUSTER)
        await client.expect(CLUSTER)

        await server.grpc.stop(None)
        await client.status()

    assert not caplog.records


async def test_the_newest_stream_of_a_node_stands_for_it(server, variant):
    server.publish(cluster("p"))
    async with AdsClient(server.address, variant) as old, AdsClient(server.address, variant) as new:
        await old.subscribe(CLUSTER)
        await old.settle()
        await new.subscribe(CLUSTER)
        await new.expect(CLUSTER)
        await old.half_close()
        await old.status()
        (node,) = server.fleet.nodes()

    assert node.connected
    assert not node.converged
