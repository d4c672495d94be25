"""Which Envoys belong to a group: by `node.cluster`, `node.id` and `node.metadata`.

Source: "Node" under "Common discovery API components" of the API reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Self

ANY = "*"
NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class NodeSelector:
    """What all Envoys of a group have in common, and no other Envoy."""

    cluster: str = ANY
    """Exactly this, or `*` for any."""
    node_id: str = ANY
    """A pattern, in which each `*` stands for any characters or none."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Keys and values that are all there, sorted."""

    @property
    def is_by_cluster(self) -> bool:
        """Whether `node.cluster` alone decides."""
        return self.node_id == ANY and not self.metadata

    @property
    def key(self) -> str:
        """Return the selector as a text: no two that differ have the same."""
        if self.is_by_cluster:
            return self.cluster
        return json.dumps([self.cluster, self.node_id, dict(self.metadata)], ensure_ascii=False)

    @classmethod
    def of_key(cls, key: str) -> Self:
        """Return the selector with this key."""
        try:
            cluster, node_id, metadata = json.loads(key)
            return cls(cluster, node_id, tuple(sorted(metadata.items())))
        except (ValueError, TypeError, AttributeError):  # a name of a cluster, whatever it holds
            return cls(key)

    def matches(self, cluster: str, node_id: str, metadata: Mapping[str, str]) -> bool:
        """Tell whether an Envoy belongs to the group."""
        if self.cluster not in (ANY, cluster):
            return False
        if self.node_id != ANY and not _pattern(self.node_id).fullmatch(node_id):
            return False
        return all(metadata.get(name) == value for name, value in self.metadata)

    def overlaps(self, other: NodeSelector) -> bool:
        """Tell whether there could be an Envoy that belongs to both groups."""
        if ANY not in (self.cluster, other.cluster) and self.cluster != other.cluster:
            return False
        wanted = dict(self.metadata)
        if any(wanted.get(name, value) != value for name, value in other.metadata):
            return False
        return _have_common(self.node_id, other.node_id)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, glob.split(ANY))), re.DOTALL)


def _have_common(one: str, other: str) -> bool:
    """Tell whether some text matches both patterns, by going through both side by side."""
    reached = {(0, 0)}
    todo = [(0, 0)]
    while todo:
        at, at_other = todo.pop()
        for step in _steps(one, at, other, at_other):
            if step not in reached:
                reached.add(step)
                todo.append(step)
    return (len(one), len(other)) in reached


def _steps(one: str, at: int, other: str, at_other: int) -> list[tuple[int, int]]:
    first, second = one[at : at + 1], other[at_other : at_other + 1]
    steps = []
    if first == ANY:
        steps.append((at + 1, at_other))
    if second == ANY:
        steps.append((at, at_other + 1))
    if first == ANY and second:
        steps.append((at, at_other + 1))
    if second == ANY and first:
        steps.append((at + 1, at_other))
    if first == second and first:
        steps.append((at + 1, at_other + 1))
    return steps
