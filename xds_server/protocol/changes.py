"""Which names differ between two snapshots of one type? Worked out once for all streams."""

from __future__ import annotations

from collections import OrderedDict

from snapshots.snapshot import TypeSnapshot

REMEMBERED = 64
"""Comparisons that are kept: a few publishes of every type and gateway."""

_remembered: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()


def changed_names(old: TypeSnapshot, new: TypeSnapshot) -> tuple[str, ...]:
    """Return the sorted names that were added, changed or removed between *old* and *new*.

    The answer depends on the contents alone, so it is remembered by their versions: the streams of
    a fleet move from one snapshot to the next together.
    """
    if old.version == new.version:
        return ()
    key = (old.version, new.version)
    if key in _remembered:
        _remembered.move_to_end(key)
        return _remembered[key]
    names = _compare(old, new)
    _remembered[key] = names
    if len(_remembered) > REMEMBERED:
        _remembered.popitem(last=False)
    return names


def _compare(old: TypeSnapshot, new: TypeSnapshot) -> tuple[str, ...]:
    before, after = old.resources, new.resources
    names = {name for name in before if name not in after}
    for name, resource in after.items():
        held = before.get(name)
        if held is not resource and (held is None or held.version != resource.version):
            names.add(name)
    return tuple(sorted(names))
