"""What a client holds of one type, what it may hold, and what it will not take.

Knows nothing of what is sent or wanted (`ledger.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from snapshots.snapshot import Resource
from xds_server.protocol.layered import Layered
from xds_server.protocol.refusal import named_in
from xds_server.protocol.suspects import Suspects


class Blame(NamedTuple):
    """Which resources of a refused response are to blame."""

    culprits: tuple[Resource, ...]
    suspects: tuple[Resource, ...]
    """Those among which a culprit is still being searched."""


class Holdings:
    """One client's side of one type, by its ACKs, its NACKs and what it says when it reconnects."""

    def __init__(self) -> None:
        self.held = Layered()
        """What the client said it holds."""
        self.suspects = Suspects()
        self._uncertain: dict[str, Resource] = {}
        """What the client may hold in place of what it holds, having refused it with others."""
        self._refused: dict[str, Resource] = {}

    def names(self) -> tuple[str, ...]:
        """Return all names under which the client may hold something, in the same order always."""
        return tuple({**self.held, **self._uncertain})

    def may_hold(self, name: str) -> bool:
        """Return whether the client may hold something under *name*."""
        return name in self.held or name in self._uncertain

    def differs(self, resource: Resource) -> bool:
        """Return whether *resource* is new or changed for the client, as far as one can tell."""
        return self._is_news(resource) or resource.name in self._uncertain

    def is_refused(self, resource: Resource) -> bool:
        """Return whether the client refused exactly *resource*."""
        refused = self._refused.get(resource.name)
        return refused is not None and refused.version == resource.version

    def refused(self) -> Iterator[Resource]:
        """Yield what the client refused last under each name."""
        return iter(self._refused.values())

    def take(self, resource: Resource) -> None:
        """Record that the client holds *resource*."""
        self._uncertain.pop(resource.name, None)
        self.held[resource.name] = resource

    def drop(self, name: str) -> None:
        """Record that the client holds nothing under *name*."""
        self._uncertain.pop(name, None)
        self.held.pop(name, None)

    def doubt(self, name: str) -> None:
        """Record that the client may hold something else under *name*, or nothing any more."""
        if name in self.held:
            self._uncertain[name] = self.held[name]

    def acquit(self, name: str) -> None:
        """Forget that *name* was refused or suspected: it is gone, and new if it comes back."""
        self._refused.pop(name, None)
        self.suspects.clear(name)

    def forgive(self, name: str, version: str) -> None:
        """Forget that *name* was refused with the content *version*."""
        refused = self._refused.get(name)
        if refused is not None and refused.version == version:
            del self._refused[name]

    def refuse(self, resources: Iterable[Resource], error_detail: str, *, search: bool) -> Blame:
        """Record that the client refused a response with *resources*; return who is to blame.

        To blame are those that its words name, if they are new or changed; without any such, a
        search begins if there may be a *search*, or all that is new or changed is to blame.
        """
        resources = tuple(resources)
        fresh = {r.name: r for r in resources if self._is_news(r)}
        named = named_in(error_detail, (r.name for r in resources)) & fresh.keys()
        culprits = named or (frozenset() if search and len(fresh) > 1 else fresh.keys())
        for resource in resources:
            if resource.name in culprits:
                self._convict(resource)
            elif resource.name in fresh:
                # Envoy applies the rest of a refused response, or some of it.
                self._uncertain[resource.name] = resource
            else:
                self._uncertain.pop(resource.name, None)
        blamed = tuple(fresh[name] for name in sorted(culprits))
        if blamed or not fresh:
            return Blame(blamed, ())
        self.suspects.suspect(fresh)
        return Blame((), tuple(fresh.values()))

    def _convict(self, resource: Resource) -> None:
        self._refused[resource.name] = resource
        self.suspects.clear(resource.name)
        uncertain = self._uncertain.get(resource.name)
        if uncertain is not None and uncertain.version == resource.version:
            del self._uncertain[resource.name]

    def _is_news(self, resource: Resource) -> bool:
        held = self.held.find(resource.name)
        return held is None or held.version != resource.version
