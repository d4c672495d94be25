"""What every Envoy of the fleet runs, as far as its ACKs and refusals tell.

The streams record facts; `Fleet.nodes` answers for the revision that is published at that moment.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from snapshots.node_selector import NO_METADATA
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot
from snapshots.type_urls import PUSH_ORDER, SHORT_NAMES, TypeUrl
from xds_server.bell import Bell
from xds_server.node_status import (
    NodeStatus,
    PastRejection,
    Progress,
    Rejection,
    TypeStatus,
    written,
)
from xds_server.store import SnapshotStore

MAX_NODES = 10_000
"""Node records that are kept; the longest disconnected ones go first."""

DescribeOrigin = Callable[[tuple[str, ...]], str]


def dotted(origin: tuple[str, ...]) -> str:
    """Return *origin* such as `pools.llama-1b`; the plainest way to describe it."""
    return ".".join(origin)


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


RefusalKey = tuple[TypeUrl, str, str]
"""Type, name and version; name and version are empty if no resource is to blame."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    error_detail: str
    origin: tuple[str, ...]
    node_snapshot: str
    """Version of what the node should have had."""


@dataclass(slots=True, eq=False)
class NodeRecord:
    """What is known of one node; written by its newest stream through `Fleet`."""

    node: Node
    variant: str
    connected_at: datetime
    disconnected_at: datetime | None = None
    connected: bool = True
    revision: str | None = None
    held_version: str | None = None
    """`NodeSnapshot.version` of what the node has ACKed in full."""
    converged_at: float = 0.0
    """When it did, by the fleet's clock."""
    sent: dict[TypeUrl, str] = field(default_factory=dict)
    acked: dict[TypeUrl, str] = field(default_factory=dict)
    refusals: dict[RefusalKey, _Refusal] = field(default_factory=dict)
    last_rejected: PastRejection | None = None


class Fleet:
    """The nodes that are or were connected. For one event loop only."""

    def __init__(
        self,
        store: SnapshotStore,
        describe_origin: DescribeOrigin = dotted,
        max_nodes: int = MAX_NODES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.changed = Bell()
        """Rings at whatever happens to a node."""
        self._store = store
        self._describe_origin = describe_origin
        self._max_nodes = max_nodes
        self._clock = clock
        self._records: OrderedDict[str, NodeRecord] = OrderedDict()

    def opened(self, node: Node, variant: str) -> NodeRecord:
        """Record that *node* opened a stream; it stands for the node from now on."""
        record = NodeRecord(node, variant, datetime.now(UTC))
        before = self._records.pop(node.id, None)
        if before is not None:
            # The same content would be refused again: it is not news.
            record.refusals = dict(before.refusals)
            record.last_rejected = before.last_rejected
        self._records[node.id] = record
        self._forget_oldest()
        self.changed.ring()
        return record

    def closed(self, record: NodeRecord) -> None:
        """Record that the stream of *record* ended."""
        record.connected = False
        record.disconnected_at = datetime.now(UTC)
        self.changed.ring()
        if self._records.get(record.node.id) is record:
            self._records.move_to_end(record.node.id)

    def converged(self, record: NodeRecord, snapshot: Snapshot) -> bool:
        """Record that the node has ACKed all it asked for of *snapshot*; return if that is new."""
        version = record.node.view(snapshot).version
        record.refusals.clear()
        record.revision = snapshot.revision
        news = record.held_version != version
        record.held_version = version
        if news:
            record.converged_at = self._clock()
            self.changed.ring()
        return news

    def sent(self, record: NodeRecord, type_url: TypeUrl, version: str) -> None:
        """Record that a response of *version* is being sent: until it is ACKed, who knows."""
        if type_url in SHORT_NAMES:
            record.sent[type_url] = version
            record.held_version = None

    def taken(self, record: NodeRecord, versions: Iterable[tuple[TypeUrl, str]]) -> None:
        """Record the *versions* of which the node has ACKed all that it asked for."""
        for url, version in versions:
            if url in SHORT_NAMES:
                record.acked[url] = version
                if url in record.sent:
                    # It may have got there without a response, as what it did not ask for changed.
                    record.sent[url] = version

    def diverged(self, record: NodeRecord) -> None:
        """Record that the node does not hold all that it asks for, perhaps as it asks for more."""
        record.held_version = None

    def rejected(
        self,
        record: NodeRecord,
        type_url: TypeUrl,
        refused: Iterable[Resource],
        error_detail: str,
    ) -> tuple[Rejection, ...]:
        """Record a NACK; return what was not known of this node, one for each resource."""
        current = self._desired(record.node)
        version = current.version if current else ""
        news = []
        blamed: list[tuple[RefusalKey, tuple[str, ...]]]
        blamed = [((type_url, r.name, r.version), r.origin) for r in refused]
        for key, origin in blamed or [((type_url, "", ""), ())]:
            known = record.refusals.pop(key, None)
            record.refusals[key] = _Refusal(error_detail, origin, version)
            if known is None or known.error_detail != error_detail:
                news.append(self._rejection(key, record.refusals[key]))
        if news:
            record.last_rejected = _past(news[-1])
            self.changed.ring()
        return tuple(news)

    def progress(self) -> Progress:
        """Return how far the connected nodes are; cheaper than `nodes`."""
        converged, behind, last = 0, [], 0.0
        for record in self._records.values():
            if not record.connected:
                continue
            desired = self._desired(record.node)
            if desired is not None and record.held_version == desired.version:
                converged += 1
                last = max(last, record.converged_at)
            else:
                behind.append(record.node.id)
        return Progress(converged + len(behind), converged, tuple(sorted(behind)), last)

    def nodes(self) -> list[NodeStatus]:
        """Return every known node by id, judged by the snapshot that is published now."""
        return [self._status(self._records[node_id]) for node_id in sorted(self._records)]

    def _status(self, record: NodeRecord) -> NodeStatus:
        desired = self._desired(record.node)
        converged = desired is not None and record.held_version == desired.version
        current = self._store.current
        if converged and current is not None:
            record.revision = current.goal.revision
        return NodeStatus(
            id=record.node.id,
            cluster=record.node.cluster,
            connected=record.connected,
            variant=record.variant,
            envoy_version=record.node.envoy_version,
            revision=record.revision,
            converged=converged,
            rejected=None if converged else self._standing(record, desired),
            gateway=desired.gateway if desired else "",
            connected_at=written(record.connected_at),
            disconnected_at=written(record.disconnected_at) if record.disconnected_at else None,
            types=tuple(_types(record, desired)),
            last_rejected=record.last_rejected,
        )

    def _standing(self, record: NodeRecord, desired: NodeSnapshot | None) -> Rejection | None:
        """Return the newest refusal of content that is still served; forget the others."""
        if desired is None:
            return None
        record.refusals = {
            key: refusal
            for key, refusal in record.refusals.items()
            if _still_served(key, refusal, desired)
        }
        if not record.refusals:
            return None
        key = next(reversed(record.refusals))
        return self._rejection(key, record.refusals[key])

    def _rejection(self, key: RefusalKey, refusal: _Refusal) -> Rejection:
        type_url, name, _version = key
        place = self._describe_origin(refusal.origin) if refusal.origin else ""
        return Rejection(type_url, name, refusal.error_detail, place)

    def _desired(self, node: Node) -> NodeSnapshot | None:
        current = self._store.current
        return node.view(current.goal) if current else None

    def _forget_oldest(self) -> None:
        if len(self._records) <= self._max_nodes:
            return
        for node_id, record in self._records.items():
            if not record.connected:
                del self._records[node_id]
                return


def _past(rejection: Rejection) -> PastRejection:
    r = rejection
    now = written(datetime.now(UTC))
    return PastRejection(r.type_url, r.resource, r.error_detail, r.registry_place, now)


def _types(record: NodeRecord, desired: NodeSnapshot | None) -> Iterator[TypeStatus]:
    for url in PUSH_ORDER:
        sent, acked = record.sent.get(url), record.acked.get(url)
        if sent is not None or acked is not None:
            current = desired.types[url].version if desired else None
            yield TypeStatus(SHORT_NAMES[url], sent, acked, acked == current)


def _still_served(key: RefusalKey, refusal: _Refusal, desired: NodeSnapshot) -> bool:
    type_url, name, version = key
    if not name:
        return refusal.node_snapshot == desired.version
    resources = desired.types.get(type_url)
    resource = resources.resources.get(name) if resources else None
    return resource is not None and resource.version == version
