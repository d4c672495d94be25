"""What is known of one Envoy, and by what it says who it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from snapshots.node_selector import NO_METADATA
from snapshots.snapshot import NodeSnapshot, Snapshot
from snapshots.type_urls import PUSH_ORDER, SHORT_NAMES, TypeUrl
from xds_server.moments import Moment
from xds_server.node_status import PastRejection, TypeStatus
from xds_server.protocol.fallback import RefusalKey


@dataclass(frozen=True, slots=True)
class Node:
    """Who opened a stream, as its first request says."""

    id: str
    cluster: str
    envoy_version: str = ""
    """Such as `1.40.0`; empty if it does not say."""
    is_envoy: bool = False
    """Whether it says that it is an Envoy, rather than another xDS client."""
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_METADATA)
    """What of its first level is a text."""

    def view(self, snapshot: Snapshot) -> NodeSnapshot:
        """Return what this node is told of *snapshot*."""
        return snapshot.for_node(self.cluster, self.id, self.metadata)


@dataclass(frozen=True, slots=True)
class NodeRefusal:
    """What a node said, and of what."""

    error_detail: str
    origin: tuple[str, ...]
    node_snapshot: str
    """Version of what the node should have had."""


@dataclass(slots=True, eq=False)
class NodeRecord:
    """What is known of one node; written by its newest stream through `Fleet`."""

    node: Node
    variant: str
    connected_at: Moment
    disconnected_at: Moment | None = None
    gone_at: float | None = None
    """The same, by `time.monotonic`."""
    connected: bool = True
    revision: str | None = None
    held_version: str | None = None
    """`NodeSnapshot.version` of what the node has ACKed in full."""
    converged_at: float = 0.0
    """When it did, by the fleet's clock."""
    sent: dict[TypeUrl, str] = field(default_factory=dict)
    acked: dict[TypeUrl, str] = field(default_factory=dict)
    awaits_answer: bool = False
    """Whether it has been sent something that it has not answered."""
    refusals: dict[RefusalKey, NodeRefusal] = field(default_factory=dict)
    """Name and version of a key are empty if no resource is to blame."""
    last_rejected: PastRejection | None = None


def types_of(record: NodeRecord, desired: NodeSnapshot | None) -> Iterator[TypeStatus]:
    """Yield how far a node is with each type, if it should have *desired*."""
    for url in PUSH_ORDER:
        sent, acked = record.sent.get(url), record.acked.get(url)
        if sent is not None or acked is not None:
            current = desired.types[url].version if desired else None
            yield TypeStatus(SHORT_NAMES[url], sent, acked, acked == current)


def still_served(key: RefusalKey, refusal: NodeRefusal, desired: NodeSnapshot) -> bool:
    """Return whether what *refusal* was about is in *desired*."""
    type_url, name, version = key
    if not name:
        return refusal.node_snapshot == desired.version
    resources = desired.types.get(type_url)
    resource = resources.resources.get(name) if resources else None
    return resource is not None and resource.version == version
