"""What all streams of a service share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from xds_server.ads.encoded import Encoder
from xds_server.ads.metrics import AdsMetrics
from xds_server.bell import Bell
from xds_server.fleet import Fleet
from xds_server.protocol.archive import Archive
from xds_server.store import SnapshotStore


@dataclass(slots=True)
class Shared:
    """What all streams of a service share."""

    store: SnapshotStore
    fleet: Fleet
    metrics: AdsMetrics
    clock: Callable[[], float]
    archive: Archive = field(default_factory=Archive)
    quarantine_changed: Bell = field(default_factory=Bell)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    encoder: Encoder = field(default_factory=Encoder)
