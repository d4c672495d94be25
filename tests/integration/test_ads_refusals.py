"""Refusals over real gRPC, in both variants."""

from __future__ import annotations

import logging

import structlog

from snapshots.type_urls import CLUSTER
from tests.support.ads_client import AdsClient
from tests.support.snapshots import (
    cluster,
)


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
