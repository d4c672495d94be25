"""What is told of a stream: to the log, to the metrics and to the fleet. Decides nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import structlog

from snapshots.snapshot import Snapshot
from snapshots.type_urls import SHORT_NAMES, TypeUrl
from xds_server.ads.shared import Shared
from xds_server.fleet import Node
from xds_server.protocol.events import DeltaResponse, SotwResponse

log = structlog.get_logger()

_stream_ids = itertools.count(1)

CLOSED_ADVICE = (
    "an Envoy that still runs routes on with what it has, and gets no edit until it is back"
)
UNMATCHED_ADVICE = (
    "this Envoy is told to listen on nothing; give a gateway its node_cluster, node_id or "
    "node_metadata"
)
UNSERVED_ADVICE = "it is answered with nothing, as are all types that are not served"


class StreamNotes:
    """The record of one stream of *node*."""

    def __init__(self, node: Node, variant: str, shared: Shared) -> None:
        self.log = log.bind(stream_id=next(_stream_ids), node_id=node.id)
        self._node = node
        self._shared = shared
        self.record = shared.fleet.opened(node, variant)
        self._has_gateway = True
        """Until it is found out."""
        self._told_unserved = False
        shared.metrics.streams.inc()
        self.log.info(
            "xds.stream.opened",
            node_cluster=node.cluster,
            variant=variant,
            envoy_version=node.envoy_version,
        )

    def closed(self) -> None:
        """Note that the stream has ended."""
        self._shared.metrics.streams.dec()
        self._shared.fleet.closed(self.record)
        self.log.info("xds.stream.closed", revision=self.record.revision, consequence=CLOSED_ADVICE)

    def asked(self, type_url: TypeUrl) -> None:
        """Note that the client asked for a type; one that is not served is told of once."""
        if type_url not in SHORT_NAMES and not self._told_unserved:
            self._told_unserved = True
            self.log.info("xds.type.unserved", type_url=type_url, consequence=UNSERVED_ADVICE)

    def gateway(self, gateway: str) -> None:
        """Tell, once for each change of it, that no gateway wants this node."""
        if not gateway and self._has_gateway:
            self.log.warning(
                "xds.node.unmatched",
                node_cluster=self._node.cluster,
                node_metadata=dict(self._node.metadata),
                consequence=UNMATCHED_ADVICE,
            )
        self._has_gateway = bool(gateway)

    def sent(self, response: SotwResponse | DeltaResponse, target_version: str) -> None:
        """Note that a response is being sent which brings the client to *target_version*."""
        self._shared.metrics.sent(response.type_url)
        self._shared.fleet.sent(self.record, response.type_url, target_version)
        self.log.debug(
            "xds.response.sent",
            type_url=response.type_url,
            nonce=response.nonce,
            resource_count=len(response.resources),
        )

    def taken(self, versions: Iterable[tuple[TypeUrl, str]], *, awaits_answer: bool) -> None:
        """Note the *versions* of which the client has ACKed all that it asked for.

        *awaits_answer* is whether it has been sent something that it has not answered.
        """
        self.record.awaits_answer = awaits_answer
        self._shared.fleet.taken(self.record, versions)

    def behind(self) -> None:
        """Note that the client does not hold all that it asks for."""
        self._shared.fleet.diverged(self.record)

    def converged(self, snapshot: Snapshot, offered_at: float | None) -> None:
        """Note that the client holds all of *snapshot*, which it was offered at that time."""
        news = self._shared.fleet.converged(self.record, snapshot)
        if news and offered_at is not None:
            self._shared.metrics.convergence.observe(self._shared.clock() - offered_at)
