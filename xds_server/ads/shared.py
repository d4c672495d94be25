"""What the streams of one service have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xds_server.ads.encoded import Encoder
from xds_server.ads.metrics import AdsMetrics
from xds_server.bell import Bell
from xds_server.fleet import Fleet, Node
from xds_server.guard.endings import Endings
from xds_server.guard.entrance import MessageReader
from xds_server.guard.limits import Limits
from xds_server.protocol.archive import Archive
from xds_server.store import SnapshotStore


@dataclass(frozen=True, slots=True)
class Variant:
    """How the two variants of the protocol differ for a stream."""

    name: str
    new_session: Callable[[Node, Archive], Any]
    reader: MessageReader[Any]
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


@dataclass(slots=True)
class Shared:
    """What all streams of a service share."""

    store: SnapshotStore
    fleet: Fleet
    metrics: AdsMetrics
    clock: Callable[[], float]
    limits: Limits
    endings: Endings
    archive: Archive = field(default_factory=Archive)
    quarantine_changed: Bell = field(default_factory=Bell)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    encoder: Encoder = field(default_factory=Encoder)
