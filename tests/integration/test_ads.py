"""The ADS service over real gRPC, in both variants."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from envoy.config.core.v3 import base_pb2

from snapshots.snapshot import Resource, Snapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
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
from tests.support.xds_server import start

RUNTIME = TypeUrl("type.googleapis.com/envoy.service.runtime.v3.Runtime")


async def follow(client: AdsClient, last: Resource) -> None:
    """Accept everything until the client holds *last*."""
    while last not in client.held[last.type_url].values():
        await client.ack(await client.read())


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


async def test_an_unknown_type_is_answered_and_harms_no_other(server, client):
    server.publish(cluster("p"))
    await client.subscribe(RUNTIME, "layer")
    assert (await client.expect(RUNTIME)).resources == ()

    await client.subscribe(CLUSTER)
    assert (await client.expect(CLUSTER)).names == ["p"]


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
