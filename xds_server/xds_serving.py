"""What listens on the xDS address: what tells Envoys what to do, and what takes load reports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from prometheus_client import CollectorRegistry

from xds_server.address import Address
from xds_server.ads import SERVER_OPTIONS, add_ads
from xds_server.fleet import Fleet
from xds_server.guard.channel import Channel
from xds_server.guard.endings import Endings
from xds_server.guard.entrance import Entrance
from xds_server.listening import CannotListenError, check_free
from xds_server.load_reports.service import add_load_reports
from xds_server.loads import Loads
from xds_server.store import SnapshotStore

STREAM_GRACE_S = 1.0
"""How long a stream may take to end by itself when the control plane stops."""


@dataclass(frozen=True, slots=True)
class Told:
    """What Envoys are told, and where is written what they say."""

    store: SnapshotStore
    fleet: Fleet
    loads: Loads
    metrics: CollectorRegistry


@asynccontextmanager
async def serving_xds(address: Address, told: Told, channel: Channel) -> AsyncIterator[Address]:
    """Serve Envoys at *address*; yields it with the port chosen.

    Raises CannotListenError, or GuardError.
    """
    check_free("--xds-address", address)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    door, kept, endings = channel.door, channel.limits, Endings(told.metrics)
    ads = add_ads(
        server, told.store, told.fleet, told.metrics, door=door, kept=kept, endings=endings
    )
    entrance = Entrance(door, endings, kept)
    load_reports = add_load_reports(server, told.loads, entrance, told.fleet.is_connected)
    try:
        port = channel.add_port(server, str(address))
    except RuntimeError as error:  # taken since it was checked
        raise CannotListenError("--xds-address", address, OSError(str(error))) from error
    await server.start()
    try:
        yield Address(address.host, port)
    finally:
        ads.close()
        load_reports.close()
        await server.stop(STREAM_GRACE_S)
