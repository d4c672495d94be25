"""The state-of-the-world variant: one ADS stream as a state machine.

Implements the xDS protocol page, read at Envoy 1.40: "ACK/NACK and resource type instance version",
"Grouping Resources into Responses", "Resource updates".
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from typing_extensions import override

from snapshots.snapshot import Resource, TypeSnapshot
from snapshots.type_urls import ENDPOINT, FULL_STATE_TYPES, ROUTE, TypeUrl
from xds_server.protocol.archive import Archive
from xds_server.protocol.batch import batch
from xds_server.protocol.events import Received, SotwRequest, SotwResponse, Verdict
from xds_server.protocol.layered import Layered
from xds_server.protocol.ledger import Due, Ledger
from xds_server.protocol.session import Session, takes_over
from xds_server.protocol.subscription import WILDCARD

WINDOW = {ROUTE: 100}
DEFAULT_WINDOW = 16

NONCES_REMEMBERED = 8
"""Of each type: by these, requests are known that were sent before a later response came."""

MAX_PARTS = 128
"""About how many responses tell all that changed of a type: every answer repeats all names that
the client asked for, and 10,000 answers of 10,000 names each would take minutes. If one of a group
is refused, a search finds out which."""


def _newest() -> deque[str]:
    return deque(maxlen=NONCES_REMEMBERED)


class SotwSession(Session[SotwResponse]):
    """A `StreamAggregatedResources` stream."""

    def __init__(self, archive: Archive | None = None, *, is_envoy: bool = False) -> None:
        super().__init__(is_envoy=is_envoy)
        self._archive = archive or Archive()
        self._holdings_unknown: set[TypeUrl] = set()
        self._last_nonce: dict[TypeUrl, str] = {}
        self._answered: defaultdict[TypeUrl, deque[str]] = defaultdict(_newest)
        self._given_up: dict[TypeUrl, set[str]] = {}
        """Names that a stale request did without: the client may have dropped what it held."""

    def receive(self, request: SotwRequest) -> Received:
        """Record *request* and return what it was."""
        ledger = self._ledgers.get(request.type_url)
        if ledger is None:
            self._first(request)
            return Received(request.type_url, Verdict.FIRST)
        nonce = request.response_nonce
        if nonce in ledger.outstanding:
            received = self._answer(ledger, request)
        elif nonce == self._last_nonce.get(request.type_url, ""):
            # A client repeats the last nonce when only its subscription changed; before the first
            # response there is none to repeat. An error in it was counted when it first came.
            received = Received(request.type_url, Verdict.UPDATE)
        else:
            if nonce in self._answered[request.type_url]:
                self._note_given_up(ledger, request.resource_names)
            return Received(request.type_url, Verdict.STALE)
        self._subscribe(ledger, request.resource_names)
        return received

    def _first(self, request: SotwRequest) -> None:
        ledger = self._open(request.type_url)
        new = ledger.subscription.replace(request.resource_names)
        if request.type_url == ENDPOINT:
            self._warming.endpoints_asked_for(ledger)
        full_state = request.type_url in FULL_STATE_TYPES
        if not request.version_info:
            ledger.due = Due.AT_ONCE
            ledger.subscribed(new, resend=False)
            return
        # After a reconnect the client goes on with what it has, so it can wait for its turn.
        if full_state:
            self._recall(ledger, request.version_info)
        ledger.touch((*ledger.target.resources, *ledger.client.held))

    def _recall(self, ledger: Ledger, version_info: str) -> None:
        """Find out what a client that reconnects holds: the version speaks for all resources.

        The full state is sent all the same: of a response that the client refused it may have
        applied a part, of which the version does not tell.
        """
        url = ledger.type_url
        ledger.due = Due.IN_TURN
        state = self._archive.recall(url, version_info)
        if version_info == ledger.target.version:
            state = ledger.target.resources
        if state is None:
            self._holdings_unknown.add(url)
            return
        wants = ledger.subscription.wants
        ledger.client.held = Layered({n: one for n, one in state.items() if wants(n)})
        for name in ledger.client.held:
            ledger.client.doubt(name)

    def _answer(self, ledger: Ledger, request: SotwRequest) -> Received:
        self._heard_out = True
        accepted: list[Resource] = []
        # Responses are processed in order, and Envoy may fold the answers that it had to hold back
        # into the last one: what was sent before the answered response was processed too.
        for nonce in list(ledger.outstanding):
            if nonce == request.response_nonce and request.error_detail is not None:
                # A search sends a part of the state, which would take away the rest from a client
                # that may hold it.
                search = request.type_url not in self._holdings_unknown
                blame = ledger.nacked(nonce, request.error_detail, search=search)
                return Received(
                    request.type_url,
                    Verdict.NACK,
                    accepted=tuple(accepted),
                    refused=blame.culprits,
                    suspects=blame.suspects,
                    error_detail=request.error_detail,
                )
            taken = ledger.acked(nonce)
            self._answered[request.type_url].append(nonce)
            accepted.extend(taken)
            # It says what it wants when it processes a response, so it has what is in there.
            self._given_up.get(request.type_url, set()).difference_update(r.name for r in taken)
            self._holdings_unknown.discard(request.type_url)
            if nonce == request.response_nonce:
                break
        return Received(request.type_url, Verdict.ACK, tuple(accepted))

    def _note_given_up(self, ledger: Ledger, names: tuple[str, ...]) -> None:
        before = set(ledger.subscription.names)
        if ledger.subscription.wildcard:
            before.add(WILDCARD)
        self._given_up.setdefault(ledger.type_url, set()).update(before.difference(names))

    def _dropped(self, ledger: Ledger) -> list[str]:
        """Return what the client wants, and wanted before, but gave up in the meantime."""
        given_up = self._given_up.pop(ledger.type_url, set())
        if WILDCARD in given_up and ledger.subscription.wildcard:
            given_up.update(ledger.target.resources)
        return sorted(filter(ledger.subscription.wants, given_up - {WILDCARD}))

    def _subscribe(self, ledger: Ledger, names: tuple[str, ...]) -> None:
        new = ledger.subscription.replace(names)
        new += [name for name in self._dropped(ledger) if name not in new]
        ledger.unsubscribed()
        if new:
            ledger.subscribed(new, resend=True)
            if ledger.type_url in FULL_STATE_TYPES:
                ledger.due = Due.AT_ONCE

    @override
    def _window(self, type_url: TypeUrl) -> int:
        # A full state while an older one is unanswered would leave unclear which of the two an
        # `error_detail` speaks of.
        return 1 if type_url in FULL_STATE_TYPES else WINDOW.get(type_url, DEFAULT_WINDOW)

    @override
    def _reply(self, ledger: Ledger) -> SotwResponse | None:
        for name in tuple(ledger.absent):
            # State of the world cannot say that a resource does not exist.
            del ledger.awaited[name], ledger.absent[name]
        if ledger.type_url in FULL_STATE_TYPES:
            return self._whole(ledger) if ledger.unsent else None
        if ledger.due is Due.AT_ONCE:
            return self._partial(ledger, ledger.changes.values())
        if any(True for _ in ledger.replies()):
            return self._partial(ledger, ledger.replies())
        return None

    @override
    def _change(self, ledger: Ledger) -> SotwResponse | None:
        sendable = tuple(self._sendable(ledger))
        if ledger.type_url in FULL_STATE_TYPES:
            return self._whole(ledger) if len(sendable) == len(ledger.changes) else None
        return self._partial(ledger, sendable) if sendable or not ledger.changes else None

    def _whole(self, ledger: Ledger) -> SotwResponse | None:
        """Send the full state, unless it would leave out what the client may live on.

        A refused resource is left out of it if no older version is known. Where the client may hold
        one that is not known, nothing is sent until the content changes.
        """
        if ledger.type_url in self._holdings_unknown and ledger.stands_refused():
            ledger.frozen = True
            return None
        return self._full_state(ledger, keep_removals=not takes_over(ledger))

    @override
    def _probe(self, ledger: Ledger) -> SotwResponse | None:
        if ledger.type_url in FULL_STATE_TYPES:
            return self._full_state(ledger, keep_removals=True)
        return self._removal(ledger)

    @override
    def _removal(self, ledger: Ledger) -> SotwResponse | None:
        if ledger.type_url in FULL_STATE_TYPES:
            return self._full_state(ledger, keep_removals=False)
        # Absence is not said of these types: their parents no longer name them.
        for name in tuple(ledger.removals):
            ledger.forget(name)
        return None

    def _partial(self, ledger: Ledger, resources: Iterable[Resource]) -> SotwResponse:
        at_least = len(ledger.changes) // MAX_PARTS
        chosen = batch(ledger.type_url, ledger.together(resources), at_least=at_least)
        return self._response(ledger, ledger.target.version, chosen, ())

    def _full_state(self, ledger: Ledger, *, keep_removals: bool) -> SotwResponse:
        now = {resource.name for resource in ledger.together(ledger.changes.values())}
        chosen: dict[str, Resource] = {}
        for name in ledger.target.resources:
            wanted = ledger.wanted(name)
            if wanted is not None and name in ledger.changes and name not in now:
                wanted = ledger.client.held.find(name)
            if wanted is not None and not ledger.client.is_refused(wanted):
                chosen[name] = wanted
        for name, resource in ledger.client.held.items():
            if keep_removals or name not in ledger.removals:
                chosen.setdefault(name, resource)
        removed = tuple(name for name in ledger.client.names() if name not in chosen)
        content = ledger.target
        if chosen != content.resources:
            content = TypeSnapshot.of(chosen.values())
        self._archive.remember(ledger.type_url, content)
        return self._response(ledger, content.version, tuple(content.resources.values()), removed)

    def _response(
        self,
        ledger: Ledger,
        version_info: str,
        resources: tuple[Resource, ...],
        removed: tuple[str, ...],
    ) -> SotwResponse:
        nonce = self._sent(ledger, resources, removed)
        self._last_nonce[ledger.type_url] = nonce
        return SotwResponse(ledger.type_url, version_info, resources, nonce)
