"""The ADS service over real gRPC, in both variants."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import grpc
import pytest
import structlog
from envoy.config.core.v3 import base_pb2

from snapshots.snapshot import Resource, Snapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl
from tests.support.ads_client import AdsClient
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    model,
    node_snapshot,
    pool,
    resource,
    route,
)
from tests.support.xds_server import XdsServer, xds_server
from xds_server.ads.stream import MAX_TYPES

RUNTIME = TypeUrl("type.googleapis.com/envoy.service.runtime.v3.Runtime")


@pytest.fixture
async def server():
    async with xds_server() as running:
        yield running


@pytest.fixture(params=["delta", "sotw"])
def variant(request):
    return request.param


@pytest.fixture
async def client(server: XdsServer, variant):
    async with AdsClient(server.address, variant) as connected:
        yield connected


async def start(client: AdsClient, *resources) -> None:
    """Ask for everything, like an Envoy that has been told *resources*."""
    await client.subscribe(CLUSTER)
    await client.subscribe(ENDPOINT, *(r.name for r in resources if r.type_url == ENDPOINT))
    await client.subscribe(LISTENER)
    await client.subscribe(SCOPED_ROUTE)
    await client.subscribe(ROUTE, *(r.name for r in resources if r.type_url == ROUTE))
    await client.settle()


async def test_a_client_is_told_what_is_published(server, client):
    server.publish(*pool("p"))

    await client.subscribe(CLUSTER)
    told = await client.expect(CLUSTER)

    assert told.resources == (cluster("p"),)
    assert told.version

    await client.ack(told)
    await client.expect_nothing()


async def test_a_client_that_came_first_is_told_as_soon_as_something_is_published(server, client):
    await client.subscribe(CLUSTER)

    server.publish(*pool("p"))

    assert (await client.expect(CLUSTER)).names == ["p"]


async def test_an_edit_arrives_in_push_order(server, client):
    before = [*pool("p"), listener("l"), *model("m", "p")]
    server.publish(*before)
    await start(client, *before)

    server.publish(*pool("p"), *pool("q"), listener("l"), *model("m", "q"))
    await client.ack(await client.expect(CLUSTER))
    await client.expect_nothing()
    await client.add(ENDPOINT, "q")
    await client.ack(await client.expect(ENDPOINT))
    told = await client.expect(ROUTE)

    assert told.resources == (route("m", "q"),)


async def test_a_refused_resource_is_told_once_and_the_log_says_what_follows(
    server, client, caplog
):
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        server.publish(cluster("p", "bad", origin=("pools", "p")))
        await client.subscribe(CLUSTER)
        with caplog.at_level(logging.WARNING):
            await client.nack(await client.expect(CLUSTER), "p: no good")
            await client.expect_nothing()
    finally:
        structlog.reset_defaults()

    warnings = [r for r in caplog.records if r.message == "xds.response.rejected"]
    assert len(warnings) == 1
    assert warnings[0].node_id == "test"
    assert warnings[0].resource == "p"
    assert warnings[0].error_message == "p: no good"
    assert warnings[0].registry_place == "registry.yaml:1:1 (pools.p)"
    assert "last good" in warnings[0].consequence
    assert server.metric("modelyard_xds_rejections_total", type="cds") == 1


async def test_a_refusal_is_seen_in_the_fleet_until_the_content_changes(server, client):
    server.publish(cluster("p", "1"))
    await client.subscribe(CLUSTER)
    await client.settle()
    server.publish(cluster("p", "bad", origin=("pools", "p")))
    await client.nack(await client.expect(CLUSTER), "p: no good")
    await client.expect_nothing()
    (node,) = server.fleet.nodes()

    assert not node.converged
    assert node.rejected
    assert node.rejected.type_url == CLUSTER
    assert node.rejected.resource == "p"
    assert node.rejected.error_detail == "p: no good"
    assert node.rejected.registry_place == "registry.yaml:1:1 (pools.p)"

    good = server.publish(cluster("p", "good"))
    (node,) = server.fleet.nodes()
    assert node.rejected is None

    await client.settle()
    (node,) = server.fleet.nodes()
    assert (node.converged, node.revision) == (True, good.revision)


async def test_who_connects_after_a_refusal_is_told_the_last_accepted_version(
    server, client, variant
):
    server.publish(cluster("p", "1"))
    await client.subscribe(CLUSTER)
    await client.settle()
    server.publish(cluster("p", "bad"))
    await client.nack(await client.expect(CLUSTER), "p: no good")
    await client.expect_nothing()

    async with AdsClient(server.address, variant, "later") as later:
        await later.subscribe(CLUSTER)

        assert (await later.expect(CLUSTER)).resources == (cluster("p", "1"),)


async def test_a_refusal_keeps_the_content_from_the_others(server, variant):
    async with (
        AdsClient(server.address, variant, "one") as one,
        AdsClient(server.address, variant, "two") as two,
    ):
        server.publish(cluster("p", "1"))
        for client in (one, two):
            await client.subscribe(CLUSTER)
            await client.settle()
        server.publish(cluster("p", "bad"))
        told = [await client.expect(CLUSTER) for client in (one, two)]
        await one.nack(told[0], "p: no good")
        await one.expect_nothing()
        await two.ack(told[1])
        await two.expect_nothing()

        server.publish(cluster("p", "good"))

        assert (await one.expect(CLUSTER)).resources == (cluster("p", "good"),)
        assert (await two.expect(CLUSTER)).resources == (cluster("p", "good"),)


async def test_convergence_is_the_revision_of_which_everything_is_acked(server, client):
    before = [*pool("p"), listener("l"), *model("m", "p")]
    first = server.publish(*before)
    await client.subscribe(CLUSTER)
    told = await client.expect(CLUSTER)
    (node,) = server.fleet.nodes()
    assert (node.converged, node.revision) == (False, None)

    await client.ack(told)
    await client.expect_nothing()
    (node,) = server.fleet.nodes()
    assert (node.converged, node.revision) == (True, first.revision)
    assert node.connected
    assert node.variant == client.variant

    second = server.publish(cluster("p", "2"))
    (node,) = server.fleet.nodes()
    assert (node.converged, node.revision) == (False, first.revision)

    await client.settle()
    (node,) = server.fleet.nodes()
    assert (node.converged, node.revision) == (True, second.revision)
    assert server.metric("modelyard_convergence_seconds_count") == 1


async def test_a_publication_that_changes_nothing_for_a_node_needs_no_push(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)
    await client.settle()

    again = server.publish(*pool("p"))
    (node,) = server.fleet.nodes()

    assert (node.converged, node.revision) == (True, again.revision)
    await client.expect_nothing()


async def test_an_envoy_that_has_not_asked_for_listeners_yet_has_not_converged(server, variant):
    node = base_pb2.Node(id="e", user_agent_name="envoy")
    node.user_agent_build_version.version.major_number = 1
    node.user_agent_build_version.version.minor_number = 40
    server.publish(*pool("p"), listener("l"))
    async with AdsClient(server.address, variant, node=node) as client:
        await client.subscribe(CLUSTER)
        await client.settle()
        (status,) = server.fleet.nodes()
        assert (status.converged, status.envoy_version) == (False, "1.40.0")

        await client.subscribe(LISTENER)
        await client.settle()
        (status,) = server.fleet.nodes()
        assert status.converged


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
    for n in range(MAX_TYPES):
        await client.subscribe(TypeUrl(f"type.googleapis.com/made.up.{n}"))
        await client.read()

    await client.subscribe(CLUSTER)
    code, details = await client.status()

    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "256 types" in details


async def test_an_unknown_type_is_answered_and_harms_no_other(server, client):
    server.publish(cluster("p"))
    await client.subscribe(RUNTIME, "layer")
    assert (await client.expect(RUNTIME)).resources == ()

    await client.subscribe(CLUSTER)
    assert (await client.expect(CLUSTER)).names == ["p"]


async def test_a_half_close_ends_the_stream_in_peace(server, client):
    server.publish(cluster("p"))
    await client.subscribe(CLUSTER)
    await client.expect(CLUSTER)

    await client.half_close()
    code, _details = await client.status()

    assert code is grpc.StatusCode.OK
    assert not server.fleet.nodes()[0].connected
    assert server.metric("modelyard_xds_streams") == 0


def stream_tasks() -> set[asyncio.Task]:
    """Return the tasks that streams started."""
    return {
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "__qualname__", "").startswith("AdsStream.")
    }


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


async def test_each_node_is_told_what_its_cluster_should_have(server, variant):
    server.store.publish(
        Snapshot.of(
            {
                "edge": node_snapshot(cluster("e"), gateway="edge"),
                "*": node_snapshot(cluster("x"), gateway="default"),
            }
        )
    )
    async with (
        AdsClient(server.address, variant, "one", "edge") as one,
        AdsClient(server.address, variant, "two", "other") as two,
    ):
        for client, expected in ((one, "e"), (two, "x")):
            await client.subscribe(CLUSTER)
            assert (await client.expect(CLUSTER)).names == [expected]


async def test_a_large_snapshot_arrives_whole(server, client):
    clusters = [
        resource(CLUSTER, f"c{n:04}", cluster(f"c{n:04}", "x" * 5000).body) for n in range(2000)
    ]
    server.publish(*clusters)
    await client.subscribe(CLUSTER)
    heard = await client.settle()

    assert sum(len(told.resources) for told in heard) == 2000
    assert len(heard) == (5 if client.variant == "delta" else 1)


async def test_what_is_counted(server, client):
    server.publish(*pool("p"))
    await client.subscribe(CLUSTER)
    await client.ack(await client.expect(CLUSTER))
    await client.expect_nothing()

    assert server.metric("modelyard_xds_streams") == 1
    assert server.metric("modelyard_xds_responses_total", type="cds") == 1
    assert server.metric("modelyard_xds_acks_total", type="cds") == 1
    assert server.metric("modelyard_xds_responses_total", type="other") == 1


async def follow(client: AdsClient, last: Resource) -> None:
    """Accept everything until the client holds *last*."""
    while last not in client.held[last.type_url].values():
        await client.ack(await client.read())


async def test_fifty_envoys_follow_a_hundred_edits(server, variant):
    """Each may skip some; all end with the last."""
    before = [*pool("p"), *pool("q"), listener("l"), *model("m", "p")]
    server.publish(*before)
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        clients = [
            await stack.enter_async_context(AdsClient(server.address, variant, f"envoy-{n}"))
            for n in range(50)
        ]
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(start(client, *before))
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(follow(client, route("m", "q", content="99")))
            for n in range(100):
                edit = model("m", "pq"[n % 2], content=str(n))
                server.publish(
                    *pool("p"), cluster("q"), endpoints("q", str(n)), listener("l"), *edit
                )
                await asyncio.sleep(0)
        for client in clients:
            await client.settle()

    assert {client.held[ENDPOINT]["q"] for client in clients} == {endpoints("q", "99")}
    assert server.metric("modelyard_convergence_seconds_count") >= 50


async def test_all_of_fifty_envoys_converge(server, variant):
    server.publish(*pool("p"))
    async with AsyncExitStack() as stack, asyncio.timeout(60):
        for n in range(50):
            client = AdsClient(server.address, variant, f"envoy-{n:02}")
            await stack.enter_async_context(client)
            await client.subscribe(CLUSTER)
            await client.settle()
        nodes = server.fleet.nodes()

    assert [node.id for node in nodes] == [f"envoy-{n:02}" for n in range(50)]
    assert all(node.converged and node.connected for node in nodes)
