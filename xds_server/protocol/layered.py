"""A mapping that is nearly the same for many clients, kept as what differs from a common one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from types import MappingProxyType

from typing_extensions import override

from snapshots.snapshot import Resource

NOTHING: Mapping[str, Resource] = MappingProxyType({})

FEW = 32
"""Differences that are not worth a look at the whole."""


class Layered(MutableMapping[str, Resource]):
    """Resources by name: those of a base that others share, but for what was set and deleted here.

    A fleet of clients that hold the same takes the memory of one, and each change that of itself.
    """

    __slots__ = ("_base", "_deleted", "_patience", "_set")

    def __init__(self, content: Mapping[str, Resource] = NOTHING) -> None:
        self._base = NOTHING
        self._set = dict(content)
        self._deleted: set[str] = set()
        """Names of the base alone."""
        self._patience = FEW

    def share(self, base: Mapping[str, Resource]) -> None:
        """Go by what differs from *base*, which must never change, where that is less to keep.

        Most calls do nothing: all is looked at once the differences have doubled since the last
        look, so that this costs each change a little, whatever the size of the whole.
        """
        if self._differences <= self._patience:
            return
        content = self._content()
        changed = {name: one for name, one in content.items() if base.get(name) is not one}
        deleted = base.keys() - content.keys()
        if len(changed) + len(deleted) < self._differences:
            self._base, self._set, self._deleted = base, changed, deleted
        self._patience = max(FEW, 2 * self._differences)

    def _content(self) -> dict[str, Resource]:
        if not self._base:
            return self._set
        kept = {name: one for name, one in self._base.items() if name not in self._deleted}
        return kept | self._set

    @property
    def _differences(self) -> int:
        return len(self._set) + len(self._deleted)

    def find(self, name: str) -> Resource | None:
        """Return what is there under *name*, if anything: the fast form of `get`."""
        found = self._set.get(name)
        if found is None and name not in self._deleted:
            return self._base.get(name)
        return found

    @override
    def __getitem__(self, name: str) -> Resource:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._set or (name in self._base and name not in self._deleted)

    @override
    def __setitem__(self, name: str, resource: Resource) -> None:
        self._set[name] = resource
        if self._deleted:
            self._deleted.discard(name)

    @override
    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._set.pop(name, None)
        if name in self._base:
            self._deleted.add(name)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._content())

    @override
    def __len__(self) -> int:
        return len(self._base) - len(self._deleted) + sum(n not in self._base for n in self._set)
