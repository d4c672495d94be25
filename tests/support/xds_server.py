"""The ADS service on a real gRPC server, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import CollectorRegistry

from snapshots.snapshot import Resource, Snapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from tests.support.ads_client import AdsClient
from tests.support.snapshots import snapshot
from xds_server.ads import SERVER_OPTIONS, AdsService, add_ads
from xds_server.fleet import Fleet
from xds_server.guard.limits import Limits
from xds_server.store import SnapshotStore


@dataclass
class XdsServer:
    """A server that is running."""

    store: SnapshotStore
    fleet: Fleet
    ads: AdsService
    grpc: grpc.aio.Server
    metrics: CollectorRegistry
    address: str

    def publish(self, *resources: Resource) -> Snapshot:
        """Serve *resources* to every node."""
        return self.store.publish(snapshot(*resources)).snapshot

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric."""
        value = self.metrics.get_sample_value(name, labels)
        assert value is not None, f"there is no {name}{labels}"
        return value


@asynccontextmanager
async def xds_server(
    fleet: Fleet | None = None, kept: Limits | None = None, **options: int
) -> AsyncIterator[XdsServer]:
    """Run a server on a free port until the end of the block.

    *options* are channel arguments without their `grpc.`, in place of ours.
    """
    store = SnapshotStore()
    fleet = fleet or Fleet(store, lambda origin: "registry.yaml:1:1 (" + ".".join(origin) + ")")
    metrics = CollectorRegistry()
    ours = dict(SERVER_OPTIONS) | {f"grpc.{name}": value for name, value in options.items()}
    server = grpc.aio.server(options=tuple(ours.items()))
    ads = add_ads(server, store, fleet, metrics, kept=kept)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield XdsServer(store, fleet, ads, server, metrics, f"127.0.0.1:{port}")
    finally:
        ads.close()
        await server.stop(1)


async def start(client: AdsClient, *resources) -> None:
    """Ask for everything, like an Envoy that has been told *resources*."""
    await client.subscribe(CLUSTER)
    await client.subscribe(ENDPOINT, *(r.name for r in resources if r.type_url == ENDPOINT))
    await client.subscribe(LISTENER)
    await client.subscribe(SCOPED_ROUTE)
    await client.subscribe(ROUTE, *(r.name for r in resources if r.type_url == ROUTE))
    await client.settle()
