"""What a client holds of one type, what is on its way, and what is still to be sent.

Knows nothing of other types (`ordering.py`) nor of messages (`sotw.py`, `delta.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from snapshots.snapshot import Resource, TypeSnapshot
from snapshots.type_urls import FULL_STATE_TYPES, TypeUrl
from xds_server.protocol.changes import changed_names
from xds_server.protocol.refusal import named_in
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
        self.held: dict[str, Resource] = {}
        """What the client said it holds, by ACKs or `initial_resource_versions`."""
        self.outstanding: dict[str, Sent] = {}
        """By nonce, oldest first."""
        self.changes: dict[str, None] = {}
        """Names to send, new or changed, in order."""
        self.removals: dict[str, None] = {}
        """Names that the client holds and should not."""
        self.awaited: dict[str, None] = {}
        """Names that the client asked for and does not hold: they are answered at once."""
        self.absent: dict[str, None] = {}
        """Those of `awaited` that the client cannot be given."""
        self.withheld: frozenset[str] = frozenset()
        """Names about which nothing is said: the client keeps what it holds under them."""
        self.due = Due.NO
        self._on_the_way: set[str] = set()
        self._resend: set[str] = set()
        self._refused: dict[str, str] = {}

    @property
    def unsent(self) -> bool:
        """Whether something new or changed is still to be sent."""
        return bool(self.changes) or self.due is not Due.NO

    def wanted(self, name: str) -> Resource | None:
        """Return what the client should hold under *name*: None if nothing."""
        if not self.subscription.wants(name):
            return None
        return self.target.resources.get(name)

    def is_refused(self, resource: Resource) -> bool:
        """Return whether this client refused exactly *resource*."""
        return self._refused.get(resource.name) == resource.version

    def differs(self, resource: Resource) -> bool:
        """Return whether *resource* is new or changed for the client."""
        held = self.held.get(resource.name)
        return held is None or held.version != resource.version

    def offer(self, target: TypeSnapshot, withheld: frozenset[str]) -> None:
        """Aim at *target* from now on, and say nothing of the *withheld* names."""
        names = changed_names(self.target, target)
        rewithheld = self.withheld ^ withheld
        self.target, self.withheld = target, withheld
        self.touch(names)
        self.touch(sorted(rewithheld))

    def touch(self, names: Iterable[str]) -> None:
        """Work out anew what is to be done about each of *names*."""
        for name in names:
            for pending in (self.changes, self.removals, self.absent):
                pending.pop(name, None)
            wanted = self.wanted(name)
            if wanted is None and name not in self.withheld:
                self._refused.pop(name, None)
            if name not in self._on_the_way:
                self._sort(name, wanted)

    def _sort(self, name: str, wanted: Resource | None) -> None:
        if wanted is None or self.is_refused(wanted):
            if wanted is None and name in self.held and name not in self.withheld:
                self.removals[name] = None
            if name in self.awaited and (name in self.removals or name not in self.held):
                self.absent[name] = None
        elif name in self._resend or self.differs(wanted):
            self.changes[name] = None

    def replies(self) -> Iterator[str]:
        """Return the names that the client waits for and that can be sent."""
        return (name for name in self.awaited if name in self.changes)

    def subscribed(self, names: Iterable[str], *, resend: bool) -> None:
        """Record that *names* were asked for; with *resend* also those that the client holds.

        "When the client sends a new request that changes the set of resources being requested, the
        server must resend any newly requested resources, even if it previously sent those".
        """
        for name in names:
            if name == WILDCARD:
                self.due = Due.AT_ONCE
                self.touch(self.target.resources)
                continue
            if resend:
                self._resend.add(name)
            if resend or name not in self.held:
                self.awaited[name] = None
            self.touch((name,))

    def unsubscribed(self) -> None:
        """Forget what the client holds and no longer wants."""
        wants = self.subscription.wants
        gone = {n for n in (*self.held, *self.changes, *self.awaited) if not wants(n)}
        for name in gone:
            self.held.pop(name, None)
            self.awaited.pop(name, None)
            self._resend.discard(name)
        self.touch(gone)

    def resend(self, name: str) -> None:
        """Send *name* again when it is its turn, even if it did not change."""
        if self.wanted(name) is not None:
            self._resend.add(name)
            self.touch((name,))

    def sent(self, nonce: str, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> None:
        """Record that a response with *resources* and *removed* was handed to the writer."""
        self.outstanding[nonce] = Sent(resources, removed)
        self.due = Due.NO
        for name in (*(r.name for r in resources), *removed):
            self.changes.pop(name, None)
            self.removals.pop(name, None)
            self.awaited.pop(name, None)
            self.absent.pop(name, None)
            self._resend.discard(name)
            self._on_the_way.add(name)

    def acked(self, nonce: str) -> tuple[Resource, ...]:
        """Record that the client took the response *nonce*; return what it holds by that."""
        sent = self._answered(nonce)
        for resource in sent.resources:
            if self.subscription.wants(resource.name):
                self.held[resource.name] = resource
        for name in sent.removed:
            self.held.pop(name, None)
        self._touch_answered(sent)
        return sent.resources

    def nacked(self, nonce: str, error_detail: str) -> tuple[Resource, ...]:
        """Record that the client refused the response *nonce*; return what it will not take.

        The client goes on with what it held before. A removal counts as done all the same: it
        cannot be said in other words, and repeating it would have no end.
        """
        sent = self._answered(nonce)
        fresh = {r.name: r for r in sent.resources if self.differs(r)}
        named = named_in(error_detail, (r.name for r in sent.resources))
        culprits = (named & fresh.keys()) or fresh.keys()
        for name in culprits:
            self._refused[name] = fresh[name].version
        for name in sent.removed:
            self.held.pop(name, None)
        self._touch_answered(sent)
        return tuple(fresh[name] for name in sorted(culprits))

    def _answered(self, nonce: str) -> Sent:
        sent = self.outstanding.pop(nonce)
        self._on_the_way.difference_update(r.name for r in sent.resources)
        self._on_the_way.difference_update(sent.removed)
        return sent

    def _touch_answered(self, sent: Sent) -> None:
        self.touch(r.name for r in sent.resources)
        self.touch(sent.removed)

    def stands_refused(self) -> bool:
        """Return whether something that the client should hold is refused."""
        return bool(self.withheld) or any(
            (wanted := self.wanted(name)) is not None and wanted.version == version
            for name, version in self._refused.items()
        )

    def in_sync_with(self, desired: TypeSnapshot) -> bool:
        """Return whether the client has ACKed all that it wants of *desired*."""
        if self.outstanding or self.unsent or self.removals or self.stands_refused():
            return False
        return not any(
            self.subscription.wants(name) for name in changed_names(self.target, desired)
        )


def holdings(type_url: TypeUrl, versions: Mapping[str, str]) -> dict[str, Resource]:
    """Return *versions* (`initial_resource_versions`) as resources whose bodies are not known."""
    return {name: Resource(type_url, name, b"", version) for name, version in versions.items()}
