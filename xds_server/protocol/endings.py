"""Load assignments whose servers are to get no new requests, for a client that may send some yet.

Until it has left every route that leads there it is told the same servers as they were: one that
reconnects with older routes would find a pool without a server.
"""

from __future__ import annotations

from snapshots.snapshot import Resource
from xds_server.protocol.holdings import Holdings


class Endings:
    """What of one type on one stream is to end, and what has ended."""

    def __init__(self) -> None:
        self.to_come: dict[str, None] = {}
        """Names of what is told as it was, for the time being."""
        self._ended: set[str] = set()

    def __bool__(self) -> bool:
        """Tell whether anything is to end or has ended."""
        return bool(self.to_come or self._ended)

    def offered(self, resource: Resource) -> Resource:
        """Return what the client is told in place of *resource*."""
        if resource.undrained is None or resource.name in self._ended:
            return resource
        return resource.undrained

    def sort(self, name: str, target: Resource | None, client: Holdings) -> None:
        """Record that *client*, which asked for *name*, should in the end hold *target* there."""
        self.to_come.pop(name, None)
        if target is None or target.undrained is None:
            self._ended.discard(name)
        elif client.is_refused(target.undrained):
            self._ended.add(name)
        elif name not in self._ended:
            self.to_come[name] = None

    def end(self) -> tuple[str, ...]:
        """Have all that is to end be told as it is; return their names."""
        names = tuple(self.to_come)
        self._ended.update(names)
        self.to_come.clear()
        return names

    def drop(self, name: str) -> None:
        """Record that the client no longer asks for *name*."""
        self.to_come.pop(name, None)
        self._ended.discard(name)
