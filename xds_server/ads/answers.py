"""What becomes of the answers of one stream's client, and what it is served because of them."""

from __future__ import annotations

from structlog.typing import FilteringBoundLogger

from snapshots.snapshot import NodeSnapshot
from xds_server.ads.shared import Shared
from xds_server.fleet import NodeRecord
from xds_server.guard.limits import KEPT_ERROR_CHARACTERS
from xds_server.line_budget import LineBudget
from xds_server.protocol.claims import claims_anything
from xds_server.protocol.events import DeltaRequest, Received, Served, SotwRequest, Verdict
from xds_server.protocol.fallback import RefusalKey, refusal_key

REJECTED_ADVICE = (
    "this Envoy keeps its last good configuration; one that starts now gets the last accepted one"
)


class Answers:
    """Tells refusals, the fleet and the log what the client of *record* answers."""

    def __init__(self, shared: Shared, record: NodeRecord, log: FilteringBoundLogger) -> None:
        self._shared = shared
        self._refusals = shared.fleet.refusals
        self._record = record
        self._log = log
        self._own: frozenset[RefusalKey] = frozenset()
        self._lines = LineBudget(shared.clock)

    def begin(self, first: SotwRequest | DeltaRequest) -> None:
        """Take up what the node refused before this stream, of which *first* is the first."""
        node_id = self._record.node.id
        self._own = self._refusals.own(node_id, is_fresh=not claims_anything(first))

    def forget(self, *told: NodeSnapshot) -> frozenset[RefusalKey]:
        """Forget what this client refused and nothing that is *told* has any more; return that.

        It was taken back: if it comes once more, somebody wants it to be offered once more.
        """
        gone = frozenset(key for key in self._own if not any(_has(each, key) for each in told))
        self._own -= gone
        return gone

    def served(self, desired: NodeSnapshot) -> Served:
        """Return what is served for *desired* to this client."""
        version = self._record.node.envoy_version
        return self._refusals.quarantine.effective(desired, self._own, version)

    def claims(self, desired: NodeSnapshot, request: SotwRequest | DeltaRequest) -> bool:
        """Note what *request*, the first for its type, tells that the client has taken.

        Return whether something else may be served because of it.
        """
        before = self._refusals.quarantine.serial
        self._refusals.quarantine.claimed(desired, request)
        return self._tell_if_changed(before)

    def note(self, received: Received, gateway: str) -> bool:
        """Note what a request answered; return whether the client refused something by it."""
        if received.verdict is Verdict.ACK:
            self._shared.metrics.acked(received.type_url)
        elif received.verdict is Verdict.NACK:
            self._note_rejection(received)
        if not received.accepted and not received.refused:
            return False
        before = self._refusals.quarantine.serial
        self._refusals.quarantine.accepted(gateway, received.accepted)
        self._refusals.quarantine.refused(received.refused, self._record.node.envoy_version)
        self._refusals.taken(self._record.node.id, received.accepted)
        self._own |= {refusal_key(resource) for resource in received.refused}
        self._tell_if_changed(before)
        return bool(received.refused)

    def _tell_if_changed(self, serial: int) -> bool:
        if self._refusals.quarantine.serial == serial:
            return False
        self._shared.quarantine_changed.ring()
        self._refusals.note_change()
        return True

    def _note_rejection(self, received: Received) -> None:
        self._shared.metrics.rejected(received.type_url)
        if received.suspects:
            return  # it is told when it is known which of them is to blame
        words = received.error_detail[:KEPT_ERROR_CHARACTERS]
        news = self._shared.fleet.rejected(self._record, received.type_url, received.refused, words)
        for rejection in news:
            left_out = self._lines.take("rejected")
            if left_out is None:
                continue
            self._log.warning(
                "xds.response.rejected",
                type_url=rejection.type_url,
                resource=rejection.resource,
                registry_place=rejection.registry_place,
                error_message=rejection.error_detail,
                consequence=REJECTED_ADVICE,
                left_out=left_out,
            )


def _has(snapshot: NodeSnapshot, key: RefusalKey) -> bool:
    type_url, name, version = key
    resource = snapshot.types[type_url].resources.get(name)
    return resource is not None and resource.version == version
