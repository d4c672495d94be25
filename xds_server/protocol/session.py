"""What is the next response of a stream? The part that SotW and delta share.

Subclasses read requests and compose responses; this class decides whose turn it is. It does no
I/O: `receive` and `offer` record facts, `next_response` is asked whenever the writer is free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from snapshots.consistency import references
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    PUSH_ORDER,
    REMOVAL_ORDER,
    ROUTE,
    TypeUrl,
)
from xds_server.protocol.events import Served
from xds_server.protocol.fallback import RefusalKey
from xds_server.protocol.ledger import NOTHING, Due, Ledger
from xds_server.protocol.ordering import NEVER_WAIT, may_change, may_remove, may_reply
from xds_server.protocol.warming import Warming

ResponseT = TypeVar("ResponseT")


class Session(ABC, Generic[ResponseT]):
    """One ADS stream of one node."""

    def __init__(self, *, is_envoy: bool = False) -> None:
        self._served: Served | None = None
        self._ledgers: dict[TypeUrl, Ledger] = {}
        self._warming = Warming(self._ledgers, is_envoy=is_envoy)
        self._nonces = 0
        self._heard_out = False
        """Whether the client has answered a response. It has then said all that it says at the
        start: one that reconnects asks for its clusters before it asks for the routes that use
        them, and to remove a cluster in between would break those."""

    @property
    def subscribed_types(self) -> frozenset[TypeUrl]:
        """The types that the client asked for on this stream."""
        return frozenset(self._ledgers)

    @property
    def awaits_answer(self) -> bool:
        """Whether the client has been sent something that it has not answered."""
        return any(ledger.outstanding for ledger in self._ledgers.values())

    @property
    def subscribed_names(self) -> int:
        """How many names the client asked for on this stream, of all types."""
        return sum(len(ledger.subscription.names) for ledger in self._ledgers.values())

    def forgive(self, refused: Iterable[RefusalKey]) -> None:
        """Offer what the client *refused* once more if it comes once more."""
        for type_url, name, version in refused:
            ledger = self._ledgers.get(type_url)
            if ledger is not None:
                ledger.client.forgive(name, version)

    def offer(self, served: Served) -> None:
        """Aim at what is *served* to this node from now on."""
        self._served = served
        for ledger in self._ledgers.values():
            self._aim(ledger)

    def _aim(self, ledger: Ledger) -> None:
        if self._served is not None:
            url = ledger.type_url
            target = self._served.snapshot.types.get(url, NOTHING)
            ledger.offer(target, self._served.withheld.get(url, frozenset()))

    def next_response(self) -> ResponseT | None:
        """Return what to write next, and count it as sent; None until something happens."""
        if self._served is None:
            return None
        waits = self._warming.awaits_endpoints() or self._warming.is_left_over()
        for ledger in self._in_order((*PUSH_ORDER, *self._ledgers)):
            if len(ledger.outstanding) >= self._window(ledger.type_url):
                continue
            response = self._addition(ledger)
            if response is not None:
                return response
        for ledger in self._in_order((*REMOVAL_ORDER, *self._ledgers)):
            departs = ledger.endings.to_come or ledger.removals
            if departs and may_remove(ledger.type_url, self._ledgers, waits):
                response = self._departure(ledger) if self._heard_out else self._probe(ledger)
                if response is not None:
                    return response
        return None

    def in_sync_with(self, desired: NodeSnapshot) -> bool:
        """Return whether the client has ACKed all of *desired* that it asked for.

        A client that asked for nothing that is served has not.
        """
        if self._served is None or self._ledgers.keys().isdisjoint(desired.types):
            return False
        return all(
            self._ledgers[url].in_sync_with(of_type)
            for url, of_type in desired.types.items()
            if url in self._ledgers
        )

    def target_version(self, type_url: TypeUrl) -> str:
        """Return the version of what the client is being brought to of a type it asked for."""
        return self._ledgers[type_url].target.version

    def taken(self) -> Iterator[tuple[TypeUrl, str]]:
        """Yield each type, and its version, of which the client ACKed all that it asked for."""
        for type_url, ledger in self._ledgers.items():
            if ledger.is_taken():
                yield type_url, ledger.target.version

    @abstractmethod
    def _window(self, type_url: TypeUrl) -> int:
        """Return how many responses of a type may wait for their answers."""

    @abstractmethod
    def _reply(self, ledger: Ledger) -> ResponseT | None:
        """Answer what the client waits for, if there is something."""

    @abstractmethod
    def _change(self, ledger: Ledger) -> ResponseT | None:
        """Send additions and changes, if there are any that lead to nothing unready."""

    @abstractmethod
    def _probe(self, ledger: Ledger) -> ResponseT | None:
        """Send something that changes nothing, for the sake of the answer."""

    @abstractmethod
    def _removal(self, ledger: Ledger) -> ResponseT | None:
        """Send removals, where the variant can say them."""

    def _in_order(self, type_urls: Iterable[TypeUrl]) -> Iterator[Ledger]:
        for type_url in dict.fromkeys(type_urls):
            if type_url in self._ledgers:
                yield self._ledgers[type_url]

    def _addition(self, ledger: Ledger) -> ResponseT | None:
        if (ledger.awaited or ledger.due is Due.AT_ONCE) and may_reply(
            ledger.type_url, self._ledgers
        ):
            reply = self._reply(ledger)
            if reply is not None:
                return reply
        if ledger.unsent and may_change(
            ledger.type_url, self._ledgers, self._warming.is_left_over()
        ):
            return self._change(ledger)
        return None

    def _departure(self, ledger: Ledger) -> ResponseT | None:
        """Send that something goes to which nothing leads any more."""
        if ledger.endings.to_come:
            ledger.touch(ledger.endings.end())
            return self._change(ledger) if ledger.changes else None
        return self._removal(ledger)

    def _sendable(self, ledger: Ledger) -> Iterator[Resource]:
        """Yield the changes of *ledger* that lead to no cluster which is not ready."""
        if ledger.type_url in NEVER_WAIT or ledger.type_url not in PUSH_ORDER:
            return iter(ledger.changes.values())
        if ledger.type_url == LISTENER:  # its scopes may lead anywhere
            return iter(ledger.changes.values() if self._warming.all_are_ready() else ())
        return (resource for resource in ledger.changes.values() if self._is_ready(resource))

    def _is_ready(self, resource: Resource) -> bool:
        """Return whether the client has all clusters that requests can get to by *resource*."""
        for type_url, name in references(resource):
            if type_url == CLUSTER and not self._warming.is_ready(name):
                return False
            if type_url == ROUTE and self._served is not None:
                route = self._served.snapshot.types[ROUTE].resources.get(name)
                if route is not None and not self._is_ready(route):
                    return False
        return True

    def _open(self, type_url: TypeUrl) -> Ledger:
        ledger = self._ledgers[type_url] = Ledger(type_url)
        self._aim(ledger)
        return ledger

    def _next_nonce(self) -> str:
        self._nonces += 1
        return str(self._nonces)

    def _sent(
        self, ledger: Ledger, resources: tuple[Resource, ...], removed: tuple[str, ...]
    ) -> str:
        """Record a response and return its nonce."""
        nonce = self._next_nonce()
        changed = [r.name for r in resources if ledger.client.differs(r)]
        ledger.sent(nonce, resources, removed)
        if ledger.type_url == CLUSTER and self._served is not None:
            assignments = self._served.snapshot.types[ENDPOINT].resources
            self._warming.clusters_sent(changed, assignments)
            self._warming.clusters_removed(removed)
        elif ledger.type_url == ENDPOINT:
            self._warming.endpoints_sent(r.name for r in resources)
        return nonce


def takes_over(ledger: Ledger) -> bool:
    """Return whether removals must travel with the additions.

    A new listener may take the address of one that goes. Envoy processes the removals of a response
    first and refuses two listeners on one address, so here make before break would break.
    """
    return ledger.type_url == LISTENER and any(
        name not in ledger.client.held for name in ledger.changes
    )
