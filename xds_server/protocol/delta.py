"""The incremental (delta) variant: one ADS stream as a state machine.

Implements "Incremental xDS" of the xDS protocol page, read at Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from typing_extensions import override

from snapshots.snapshot import Resource
from snapshots.type_urls import ENDPOINT, FULL_STATE_TYPES, ROUTE, TypeUrl
from xds_server.protocol.batch import MAX_REMOVED_NAMES, batch
from xds_server.protocol.events import DeltaRequest, DeltaResponse, Received, Verdict
from xds_server.protocol.layered import Layered
from xds_server.protocol.ledger import Due, Ledger
from xds_server.protocol.session import Session, takes_over
from xds_server.protocol.subscription import WILDCARD

WINDOW = {ROUTE: 100}
DEFAULT_WINDOW = 16

MANY = 32
"""More changes of a type at once than an edit makes: somebody connects."""
GROUP = 100
"""How many of these travel together then: each response costs both sides more than its resources
do. If one of a group is refused, a search finds out which."""

UNKNOWN = b""
"""The body of a resource of which the client told only the version."""


class DeltaSession(Session[DeltaResponse]):
    """A `DeltaAggregatedResources` stream."""

    def receive(self, request: DeltaRequest) -> Received:
        """Record *request* and return what it was.

        "While a response_nonce may be set on the request, the server must honor changes to the
        subscription state even if the nonce is stale."
        """
        ledger = self._ledgers.get(request.type_url)
        if ledger is None:
            self._first(request)
            return Received(request.type_url, Verdict.FIRST)
        received = self._answer(ledger, request)
        self._subscribe(ledger, request.resource_names_subscribe)
        self._unsubscribe(ledger, request.resource_names_unsubscribe)
        return received

    def _first(self, request: DeltaRequest) -> None:
        ledger = self._open(request.type_url)
        names = request.resource_names_subscribe
        if not names and not request.resource_names_unsubscribe:
            # "(legacy behavior) the request must have no resources in both"
            legacy = request.type_url in FULL_STATE_TYPES
            names = (WILDCARD,) if legacy else ()
            if not legacy:
                ledger.due = Due.AT_ONCE
        ledger.subscription.add(names)
        ledger.client.held = Layered(
            {
                name: _known(ledger, name, version)
                for name, version in request.initial_resource_versions.items()
                if ledger.subscription.wants(name)
            }
        )
        ledger.client.held.share(ledger.target.resources)
        ledger.touch(ledger.client.held)
        ledger.subscribed(names, resend=False)
        if ledger.client.held:
            # The client has something to go on with: it can wait for its turn, and it is told
            # nothing if nothing changed.
            ledger.due = Due.NO
        if ledger.type_url == ENDPOINT:
            self._warming.endpoints_asked_for(ledger)

    def _answer(self, ledger: Ledger, request: DeltaRequest) -> Received:
        nonce, url = request.response_nonce, request.type_url
        if not nonce:
            return Received(url, Verdict.UPDATE)
        if nonce not in ledger.outstanding:
            return Received(url, Verdict.STALE)
        self._heard_out = True
        if request.error_detail is None:
            return Received(url, Verdict.ACK, accepted=ledger.acked(nonce))
        blame = ledger.nacked(nonce, request.error_detail)
        return Received(
            url,
            Verdict.NACK,
            refused=blame.culprits,
            suspects=blame.suspects,
            error_detail=request.error_detail,
        )

    def _subscribe(self, ledger: Ledger, names: Iterable[str]) -> None:
        names = tuple(names)
        ledger.subscription.add(names)
        ledger.subscribed(names, resend=True)

    def _unsubscribe(self, ledger: Ledger, names: Iterable[str]) -> None:
        dropped = ledger.subscription.drop(names)
        if not dropped:
            return
        ledger.unsubscribed()
        if ledger.subscription.wildcard:
            # The client cannot know whether the wildcard still holds the name: "the server must
            # send a response that includes the specific resource".
            ledger.subscribed(dropped, resend=True)

    @override
    def _window(self, type_url: TypeUrl) -> int:
        return WINDOW.get(type_url, DEFAULT_WINDOW)

    @override
    def _reply(self, ledger: Ledger) -> DeltaResponse | None:
        if ledger.absent:
            return self._response(ledger, (), tuple(islice(ledger.absent, MAX_REMOVED_NAMES)))
        if ledger.due is Due.AT_ONCE:
            return self._response(ledger, self._batch(ledger, ledger.changes.values()), ())
        resources = self._batch(ledger, ledger.replies())
        return self._response(ledger, resources, ()) if resources else None

    @override
    def _change(self, ledger: Ledger) -> DeltaResponse | None:
        removed = tuple(ledger.removals) if takes_over(ledger) else ()
        resources = self._batch(ledger, self._sendable(ledger))
        if ledger.changes and not resources:
            return None
        return self._response(ledger, resources, removed)

    @override
    def _probe(self, ledger: Ledger) -> DeltaResponse:
        return self._response(ledger, (), ())

    @override
    def _removal(self, ledger: Ledger) -> DeltaResponse:
        return self._response(ledger, (), tuple(islice(ledger.removals, MAX_REMOVED_NAMES)))

    def _batch(self, ledger: Ledger, resources: Iterable[Resource]) -> tuple[Resource, ...]:
        at_least = GROUP if len(ledger.changes) > MANY else 1
        return batch(ledger.type_url, ledger.together(resources), at_least=at_least)

    def _response(
        self, ledger: Ledger, resources: tuple[Resource, ...], removed: tuple[str, ...]
    ) -> DeltaResponse:
        nonce = self._sent(ledger, resources, removed)
        return DeltaResponse(ledger.type_url, ledger.target.version, resources, removed, nonce)


def _known(ledger: Ledger, name: str, version: str) -> Resource:
    """Return what the client holds under *name*: what it should hold, if the *version* is that."""
    target = ledger.target.resources.get(name)
    if target is not None and target.version == version:
        return target
    return Resource(ledger.type_url, name, UNKNOWN, version)
