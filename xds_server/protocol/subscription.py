"""What a stream wants of one type.

Implements "How the client specifies what resources to return" of the xDS protocol page. Does not
know which resources exist.
"""

from __future__ import annotations

from collections.abc import Iterable

WILDCARD = "*"


class Subscription:
    """The names, or the wildcard, that a client asked for."""

    def __init__(self, *, legacy_wildcard: bool) -> None:
        self.names: set[str] = set()
        """Names asked for explicitly; may overlap with the wildcard."""
        self.wildcard = False
        self._legacy = legacy_wildcard

    def wants(self, name: str) -> bool:
        """Return whether the client wants to hear of the resource *name*."""
        return self.wildcard or name in self.names

    def replace(self, names: Iterable[str]) -> list[str]:
        """Subscribe to exactly *names* (state of the world); return those that are new.

        "*" is among the returned names if the wildcard is new. No names at all mean the wildcard
        until a name was given once ("For historical reasons..." on the protocol page), for the
        types that have one.
        """
        asked = list(dict.fromkeys(names))
        if asked:
            self._legacy = False
        elif self._legacy:
            asked = [WILDCARD]
        new = [n for n in asked if not (self.wildcard if n == WILDCARD else n in self.names)]
        self.wildcard = WILDCARD in asked
        self.names = {name for name in asked if name != WILDCARD}
        return new

    def add(self, names: Iterable[str]) -> None:
        """Subscribe to *names* too (delta); the legacy wildcard stays beside them."""
        for name in names:
            if name == WILDCARD:
                self.wildcard = True
            else:
                self.names.add(name)

    def drop(self, names: Iterable[str]) -> list[str]:
        """Unsubscribe from *names* (delta); return those that were subscribed to."""
        dropped = []
        for name in names:
            if name == WILDCARD and self.wildcard:
                self.wildcard = False
                dropped.append(name)
            elif name in self.names:
                self.names.remove(name)
                dropped.append(name)
        return dropped
