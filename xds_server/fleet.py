"""What every Envoy of the fleet runs, as far as its ACKs and refusals tell.

The streams record facts; `Fleet.nodes` answers for the revision that is published at that moment.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from snapshots.snapshot import NodeSnapshot, Resource, Snapshot
from snapshots.type_urls import SHORT_NAMES, TypeUrl
from xds_server.bell import Bell
from xds_server.moments import Moment
from xds_server.node_record import Node, NodeRecord, NodeRefusal, still_served, types_of
from xds_server.node_status import (
    NodeStatus,
    PastRejection,
    Progress,
    Rejection,
    RejectionElsewhere,
    written,
)
from xds_server.protocol.fallback import RefusalKey, refusal_key
from xds_server.refusals import Refusals, Words
from xds_server.store import SnapshotStore

__all__ = ["Fleet", "Node", "NodeRecord"]

MAX_NODES = 10_000
"""Node records that are kept; the longest disconnected ones go first."""

DescribeOrigin = Callable[[tuple[str, ...]], str]


def dotted(origin: tuple[str, ...]) -> str:
    """Return *origin* such as `pools.llama-1b`; the plainest way to describe it."""
    return ".".join(origin)


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
        self.refusals = Refusals()
        self._store = store
        self._describe_origin = describe_origin
        self._max_nodes = max_nodes
        self._clock = clock
        self._records: OrderedDict[str, NodeRecord] = OrderedDict()

    def opened(self, node: Node, variant: str) -> NodeRecord:
        """Record that *node* opened a stream; it stands for the node from now on."""
        record = NodeRecord(node, variant, Moment.now())
        before = self._records.pop(node.id, None)
        self.refusals.opened(node.id, node.envoy_version)
        if before is None:
            self._recall(record)
        elif before.node.envoy_version == node.envoy_version:
            # The same content would be refused again: it is not news.
            record.refusals = dict(before.refusals)
        if before is not None:
            record.last_rejected = before.last_rejected
        self._records[node.id] = record
        self._forget_oldest()
        self.changed.ring()
        return record

    def _recall(self, record: NodeRecord) -> None:
        """Note what the node refused of another process, or so long ago that it was forgotten."""
        for content, words in self.refusals.of(record.node.id):
            (url, name, _), text = content.key, words.error_detail
            record.last_rejected = PastRejection(url, name, text, content.place, words.at)

    def closed(self, record: NodeRecord) -> None:
        """Record that the stream of *record* ended."""
        record.connected = False
        record.disconnected_at = Moment.now()
        record.gone_at = time.monotonic()
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
        now = written(Moment.now().at)
        news = []
        blamed: list[tuple[RefusalKey, tuple[str, ...]]] = []
        for resource in refused:
            blamed.append((refusal_key(resource), resource.origin))
            words = Words(record.node.id, record.node.envoy_version, error_detail, now)
            self.refusals.refused(resource, words, self._place(resource.origin))
        for key, origin in blamed or [((type_url, "", ""), ())]:
            known = record.refusals.pop(key, None)
            record.refusals[key] = NodeRefusal(error_detail, origin, version)
            if known is None or known.error_detail != error_detail:
                news.append(self._rejection(key, record.refusals[key]))
        if news:
            record.last_rejected = _past(news[-1], now)
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

    def is_connected(self, node_id: str) -> bool:
        """Return whether a node of this id is connected now."""
        record = self._records.get(node_id)
        return record is not None and record.connected

    def standings(self, since: float) -> Iterator[tuple[Node, float | None, float | None]]:
        """Yield each node that is connected, or was after *since* by `time.monotonic`.

        With it, when its connection was lost, and since when it has all that is published.
        """
        for record in self._records.values():
            if record.gone_at is None or record.gone_at > since:
                desired = self._desired(record.node)
                converged = desired is not None and record.held_version == desired.version
                yield record.node, record.gone_at, record.converged_at if converged else None

    def nodes(self) -> list[NodeStatus]:
        """Return every known node by id, judged by the snapshot that is published now."""
        now = Moment.now()
        return [self._status(self._records[node_id], now) for node_id in sorted(self._records)]

    def _status(self, record: NodeRecord, now: Moment) -> NodeStatus:
        desired = self._desired(record.node)
        converged = desired is not None and record.held_version == desired.version
        current, gone = self._store.current, record.disconnected_at
        if converged and current is not None:
            record.revision = current.goal.revision
        rejected = None if converged else self._standing(record, desired)
        return NodeStatus(
            id=record.node.id,
            cluster=record.node.cluster,
            connected=record.connected,
            variant=record.variant,
            envoy_version=record.node.envoy_version,
            revision=record.revision,
            converged=converged,
            rejected=rejected,
            gateway=desired.gateway if desired else "",
            connected_at=written(record.connected_at.told(now)),
            disconnected_at=written(gone.told(now)) if gone else None,
            types=tuple(types_of(record, desired)),
            last_rejected=record.last_rejected,
            kept_from=None if converged or rejected else self._kept_from(record, desired),
        )

    def _kept_from(
        self, record: NodeRecord, desired: NodeSnapshot | None
    ) -> RejectionElsewhere | None:
        """Return what the node is not given of *desired*, as others refused it."""
        if desired is None or not record.connected or record.awaits_answer:
            return None
        found = self.refusals.kept_from(desired, record.node.envoy_version)
        if found is None:
            return None
        content, words = found
        (url, name, _), place = content.key, self._place(content.origin) or content.place
        return RejectionElsewhere(url, name, words.error_detail, place, words.node_id)

    def _standing(self, record: NodeRecord, desired: NodeSnapshot | None) -> Rejection | None:
        """Return the newest refusal of content that is still served; forget the others."""
        if desired is None:
            return None
        record.refusals = {
            key: refusal
            for key, refusal in record.refusals.items()
            if still_served(key, refusal, desired)
        }
        if not record.refusals:
            return self._recalled(record, desired)
        key = next(reversed(record.refusals))
        return self._rejection(key, record.refusals[key])

    def _recalled(self, record: NodeRecord, desired: NodeSnapshot) -> Rejection | None:
        """Return what the node refused before this process knew that it should have it."""
        found = self.refusals.standing(desired, record.node.id)
        if found is None:
            return None
        content, words = found
        (url, name, _), place = content.key, self._place(content.origin) or content.place
        return Rejection(url, name, words.error_detail, place)

    def _rejection(self, key: RefusalKey, refusal: NodeRefusal) -> Rejection:
        type_url, name, _version = key
        return Rejection(type_url, name, refusal.error_detail, self._place(refusal.origin))

    def _place(self, origin: tuple[str, ...]) -> str:
        return self._describe_origin(origin) if origin else ""

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


def _past(rejection: Rejection, at: str) -> PastRejection:
    r = rejection
    return PastRejection(r.type_url, r.resource, r.error_detail, r.registry_place, at)
