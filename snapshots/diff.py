"""What differs between two snapshots, by type and name."""

from __future__ import annotations

from dataclasses import dataclass

from snapshots.snapshot import NodeSnapshot, TypeSnapshot
from snapshots.type_urls import PUSH_ORDER, TypeUrl


@dataclass(frozen=True, slots=True)
class TypeDiff:
    """What differs of one type; every tuple holds resource names, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return bool(self.added or self.changed or self.removed)


def diff(old: NodeSnapshot, new: NodeSnapshot) -> dict[TypeUrl, TypeDiff]:
    """Return, by type, what an Envoy that holds *old* is sent for *new*; empty if nothing is."""
    differences = {url: _diff_type(old.types[url], new.types[url]) for url in PUSH_ORDER}
    return {url: difference for url, difference in differences.items() if difference}


def _diff_type(old: TypeSnapshot, new: TypeSnapshot) -> TypeDiff:
    if old.version == new.version:
        return TypeDiff((), (), ())
    before, after = old.resources, new.resources
    return TypeDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(
            sorted(
                name
                for name in after.keys() & before.keys()
                if after[name].version != before[name].version
            )
        ),
        removed=tuple(sorted(before.keys() - after.keys())),
    )
