"""What a client holds of one type, what is on its way, and what is still to be sent.

Knows nothing of other types (`ordering.py`) nor of messages (`sotw.py`, `delta.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from snapshots.snapshot import Resource, TypeSnapshot
from snapshots.type_urls import ENDPOINT, FULL_STATE_TYPES, TypeUrl
from xds_server.protocol.changes import changed_names
from xds_server.protocol.endings import Endings
from xds_server.protocol.holdings import Blame, Holdings
from xds_server.protocol.subscription import WILDCARD, Subscription

NOTHING = TypeSnapshot.of(())


class Due(Enum):
    """Whether a response must be sent even if it changes nothing."""

    NO = auto()
    IN_TURN = auto()
    """Yes, when the order of types allows it."""
    AT_ONCE = auto()
    """Yes, and all that is unsent with it: a client that holds nothing waits for it."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A response that waits for its answer."""

    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


class Ledger:
    """The state of one type on one stream.

    Every wanted name is in at most one unanswered response: a newer version waits for the answer
    and then overtakes what was skipped. `changes` and `removals` are kept up to date by `touch`,
    which is called for every name that something happened to, so that the cost of an event is that
    of the names it concerns.
    """

    def __init__(self, type_url: TypeUrl) -> None:
        self.type_url = type_url
        self.target = NOTHING
        self.subscription = Subscription(legacy_wildcard=type_url in FULL_STATE_TYPES)
        self.client = Holdings()
        self.endings = Endings()
        self.outstanding: dict[str, Sent] = {}
        """By nonce, oldest first."""
        self.changes: dict[str, Resource] = {}
        """What is to be sent as it is new, changed or asked for again, by name, in order."""
        self.removals: dict[str, None] = {}
        """Names that the client holds and should not."""
        self.awaited: dict[str, None] = {}
        """Names that the client asked for and does not hold: they are answered at once."""
        self.absent: dict[str, None] = {}
        """Those of `awaited` that the client cannot be given."""
        self.withheld: frozenset[str] = frozenset()
        """Names about which nothing is said: the client keeps what it holds under them."""
        self.promised: dict[str, Resource] = {}
        """What is sent under a wanted name even if the target has lost it in the meantime."""
        self.due = Due.NO
        self.frozen = False
        """Whether nothing can be sent until something happens to this type."""
        self._on_the_way: set[str] = set()
        self._resend: set[str] = set()

    @property
    def unsent(self) -> bool:
        """Whether something new or changed can still be sent."""
        return (bool(self.changes) or self.due is not Due.NO) and not self.frozen

    def wanted(self, name: str) -> Resource | None:
        """Return what the client should hold under *name*: None if nothing."""
        if not self.subscription.wants(name):
            return None
        return self.offered(name)

    def offered(self, name: str) -> Resource | None:
        """Return what a client that wants *name* should hold now."""
        resource = self.target.resources.get(name) or self.promised.get(name)
        if resource is None or resource.undrained is None:
            return resource
        return self.endings.offered(resource)

    def together(self, resources: Iterable[Resource]) -> Iterator[Resource]:
        """Yield those of *resources*, from the first on, that may travel in one response."""
        return self.client.suspects.together(resources)

    def offer(self, target: TypeSnapshot, withheld: frozenset[str]) -> None:
        """Aim at *target* from now on, and say nothing of the *withheld* names."""
        is_asked = self.subscription.wildcard or self.subscription.names or self.client.held
        names = changed_names(self.target, target) if is_asked else ()
        rewithheld = self.withheld ^ withheld
        self.target, self.withheld = target, withheld
        self.touch(names)
        self.touch(sorted(rewithheld))

    def touch(self, names: Iterable[str]) -> None:
        """Work out anew what is to be done about each of *names*."""
        self.frozen = False
        resources, wants = self.target.resources, self.subscription.wants
        for name in names:
            self.changes.pop(name, None)
            self.removals.pop(name, None)
            self.absent.pop(name, None)
            target = resources.get(name)
            if not wants(name):
                self.endings.drop(name)
                wanted = None
            else:
                if self.endings or (target is not None and target.undrained is not None):
                    self.endings.sort(name, target, self.client)
                wanted = self.offered(name)
            if wanted is None and name not in self.withheld:
                self.client.acquit(name)
            if name not in self._on_the_way:
                self._sort(name, wanted)

    def _sort(self, name: str, wanted: Resource | None) -> None:
        client = self.client
        if wanted is None or client.is_refused(wanted):
            if wanted is None and client.may_hold(name) and name not in self.withheld:
                self.removals[name] = None
            if name in self.awaited and (name in self.removals or not client.may_hold(name)):
                self.absent[name] = None
        elif name in self._resend or client.differs(wanted):
            self.changes[name] = wanted

    def replies(self) -> Iterator[Resource]:
        """Return what the client waits for and that can be sent."""
        return (self.changes[name] for name in self.awaited if name in self.changes)

    def subscribed(self, names: Iterable[str], *, resend: bool) -> None:
        """Record that *names* were asked for; with *resend* also those that the client holds.

        "When the client sends a new request that changes the set of resources being requested, the
        server must resend any newly requested resources, even if it previously sent those".
        """
        asked = []
        for name in names:
            if name == WILDCARD:
                self.due = Due.AT_ONCE
                self.touch(self.target.resources)
                continue
            if resend:
                self._resend.add(name)
            if resend or name not in self.client.held:
                self.awaited[name] = None
            asked.append(name)
        self.touch(asked)

    def unsubscribed(self) -> None:
        """Forget what the client holds and no longer wants."""
        wants = self.subscription.wants
        held = (*self.client.names(), *self.changes)
        known = (*held, *self.awaited, *self.endings.to_come, *self._resend)
        gone = {name for name in known if not wants(name)}
        for name in gone:
            self.client.drop(name)
            self.awaited.pop(name, None)
            self._resend.discard(name)
        self.touch(gone)

    def forget(self, name: str) -> None:
        """Record that the client holds nothing under *name*, without having told it so."""
        self.client.drop(name)
        self.touch((name,))

    def promise(self, resources: Iterable[Resource]) -> None:
        """Send *resources* when they are wanted and its turn, or what they become until then.

        Also if the client holds one already, and even if it goes in the meantime.
        """
        wanted = []
        for resource in resources:
            self.promised[resource.name] = resource
            if self.subscription.wants(resource.name):
                wanted.append(resource.name)
        self._resend.update(wanted)
        self.touch(wanted)

    def sent(self, nonce: str, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> None:
        """Record that a response with *resources* and *removed* was handed to the writer."""
        self.outstanding[nonce] = Sent(resources, removed)
        self.due = Due.NO
        for name in (*(r.name for r in resources), *removed):
            self.changes.pop(name, None)
            self.removals.pop(name, None)
            self.awaited.pop(name, None)
            self.absent.pop(name, None)
            self.promised.pop(name, None)
            self._resend.discard(name)
            self._on_the_way.add(name)
        self._give_back_room()

    def _give_back_room(self) -> None:
        """Let what is empty now take no more memory than that: it keeps its size otherwise."""
        grown: tuple[dict[str, Any] | set[str], ...] = (
            self.changes, self.awaited, self.promised, self._resend, self._on_the_way
        )  # fmt: skip
        for container in grown:
            if not container:
                container.clear()

    def acked(self, nonce: str) -> tuple[Resource, ...]:
        """Record that the client took the response *nonce*; return what it holds by that."""
        sent = self._answered(nonce)
        unsettled = []
        for resource in sent.resources:
            name, wanted = resource.name, self.wanted(resource.name)
            is_it = wanted is not None and wanted.version == resource.version
            if is_it:
                self.client.suspects.clear(name)
            if wanted is not None or self.subscription.wants(name):
                self.client.take(resource)
            if not is_it or name in self._resend:
                unsettled.append(name)
        for name in sent.removed:
            self.client.drop(name)
        self.touch(unsettled)
        self.touch(sent.removed)
        if not self.outstanding and not self.changes:
            self.client.held.share(self.target.resources)
        return sent.resources

    def nacked(self, nonce: str, error_detail: str, *, search: bool = True) -> Blame:
        """Record that the client refused the response *nonce*; return what it will not take.

        The client goes on with what it held before. A response that brought nothing new counts as
        taken all the same: what it removes cannot be said in other words, and repeating it would
        have no end.
        """
        sent = self._answered(nonce)
        blame = self.client.refuse(sent.resources, error_detail, search=search)
        brought_news = bool(blame.culprits or blame.suspects)
        for name in sent.removed:
            if brought_news:
                self.client.doubt(name)
            else:
                self.client.drop(name)
        if brought_news and self.type_url == ENDPOINT:
            # A cluster that warms goes on without servers if these were to be its first.
            self._resend.update(resource.name for resource in sent.resources)
        self._touch_answered(sent)
        return blame

    def _answered(self, nonce: str) -> Sent:
        sent = self.outstanding.pop(nonce)
        self._on_the_way.difference_update(r.name for r in sent.resources)
        self._on_the_way.difference_update(sent.removed)
        self._give_back_room()
        return sent

    def _touch_answered(self, sent: Sent) -> None:
        self.touch(r.name for r in sent.resources)
        self.touch(sent.removed)

    def is_on_its_way(self, name: str) -> bool:
        """Return whether *name* was sent and is neither taken nor refused so far."""
        return name in self._on_the_way

    def is_settled(self, name: str) -> bool:
        """Return whether the client has taken, or refused, what it should hold under *name*."""
        wanted = self.wanted(name)
        client = self.client
        return wanted is None or client.is_refused(wanted) or not client.differs(wanted)

    def stands_refused(self) -> bool:
        """Return whether something that the client should hold is refused."""
        if self.withheld:
            return True
        wanted = ((self.wanted(refused.name), refused) for refused in self.client.refused())
        return any(now is not None and now.version == refused.version for now, refused in wanted)

    def is_taken(self) -> bool:
        """Return whether the client has ACKed all that it wants of the target."""
        to_come = self.outstanding or self.unsent or self.endings.to_come or self.removals
        return not (to_come or self.stands_refused())

    def in_sync_with(self, desired: TypeSnapshot) -> bool:
        """Return whether the client has ACKed all that it wants of *desired*."""
        if not self.is_taken():
            return False
        return not any(
            self.subscription.wants(name) for name in changed_names(self.target, desired)
        )
