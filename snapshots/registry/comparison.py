"""What differs between two registries, entry by entry, in the words of the file.

Both are compared as they are understood, so that two ways to write the same are no difference, and
neither is the order of what has none. Values of secret fields are never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml

from snapshots.registry.problems import place_of, printable
from snapshots.registry.public_form import SECRET_FIELDS
from snapshots.registry.schema import Registry

What = Literal["added", "removed", "changed"]

SECTIONS: Final = ("models", "pools", "auth.clients", "auth.upstream", "gateways")
"""The parts of a file that hold entries by name, in the order in which they are told."""
NOT_SHOWN: Final = "(not shown)"
ORDERED: Final = frozenset({"fallback"})
"""Lists whose order counts."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of an entry that differs."""

    field: str
    """Its place within the entry, such as `split.llama-1b`."""
    what: What
    before: str
    """As the file may say it; empty if added. Likewise `after` if removed."""
    after: str


@dataclass(frozen=True, slots=True)
class EntryChange:
    """One entry that differs: a model, pool, client or gateway, or a setting of the whole file."""

    section: str
    """One of SECTIONS, or `settings`."""
    name: str
    what: What
    fields: tuple[FieldChange, ...] = ()
    """What differs, if it was changed."""
    summary: str = ""
    """What it says, in one line, if it was added or removed."""


def compare(old: Registry, new: Registry) -> tuple[EntryChange, ...]:
    """Return what an edit from *old* to *new* changes; empty if both mean the same."""
    before, after = _sections(old), _sections(new)
    written = _written(old), _written(new)
    return tuple(
        change
        for section in (*SECTIONS, "settings")
        for change in _entries(section, before[section], after[section], *written)
    )


def _sections(registry: Registry) -> dict[str, dict[str, Any]]:
    """Return all entries with everything that they leave out."""
    data = _flat(registry.model_dump(mode="json"))
    sections = {section: data.pop(section, None) or {} for section in SECTIONS}
    return {**sections, "settings": data}


def _written(registry: Registry) -> dict[str, Any]:
    """Return the sections as they are written."""
    return _flat(registry.model_dump(mode="json", exclude_unset=True, exclude_none=True))


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """Return *data* with the parts of `auth` beside the others."""
    return data | {f"auth.{part}": value for part, value in data.pop("auth", {}).items()}


def _entries(
    section: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    written_before: Mapping[str, Any],
    written_after: Mapping[str, Any],
) -> Iterator[EntryChange]:
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            summary = _summary(written_after.get(section, {}).get(name, {}))
            yield EntryChange(section, name, "added", summary=summary)
        elif name not in after:
            summary = _summary(written_before.get(section, {}).get(name, {}))
            yield EntryChange(section, name, "removed", summary=summary)
        elif before[name] != after[name]:
            fields = tuple(_differences((), before[name], after[name]))
            if fields:
                yield EntryChange(section, name, "changed", fields)


def _differences(path: tuple[str, ...], before: object, after: object) -> Iterator[FieldChange]:
    """Yield what differs at *path* and below it."""
    if before == after:
        return
    if path and path[-1] in SECRET_FIELDS:
        yield FieldChange(place_of(path), "changed", NOT_SHOWN, NOT_SHOWN)
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences((*path, key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and path[-1] not in ORDERED:
        yield from _members(path, _by_name(before), _by_name(after))
    elif before in _NOTHING:
        yield FieldChange(place_of(path), "added", "", _shown(after))
    elif after in _NOTHING:
        yield FieldChange(place_of(path), "removed", _shown(before), "")
    else:
        yield FieldChange(place_of(path), "changed", _shown(before), _shown(after))


def _members(
    path: tuple[str, ...], before: Mapping[str, object], after: Mapping[str, object]
) -> Iterator[FieldChange]:
    """Yield what differs between two lists without an order."""
    for name in dict.fromkeys((*before, *after)):
        if name not in before:
            yield FieldChange(place_of(path), "added", "", _shown(after[name]))
        elif name not in after:
            yield FieldChange(place_of(path), "removed", _shown(before[name]), "")
        else:
            yield from _differences((*path, name), before[name], after[name])


def _by_name(members: list[Any]) -> dict[str, object]:
    """Return *members* by what tells them apart: a server is the same by its address."""
    return {m["address"] if isinstance(m, dict) else str(m): m for m in members}


def _summary(entry: object) -> str:
    return _shown(_without_secrets(entry)) if entry else ""


def _without_secrets(value: object) -> object:
    """Return *value* as it is shown: servers by their addresses alone, where those say it all."""
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"address"}:
        return value["address"]
    return {
        key: NOT_SHOWN if key in SECRET_FIELDS else _without_secrets(inner)
        for key, inner in value.items()
    }


def _shown(value: object) -> str:
    """Return *value* on one line, as a file may say it."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict) and "address" in value:
        more = (f"{key} {value[key]}" for key, usual in _USUAL.items() if value[key] != usual)
        return ", ".join((value["address"], *more))
    if isinstance(value, dict):
        value = {key: inner for key, inner in value.items() if inner is not None}
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1_000_000
    )
    return text.removesuffix("\n").removesuffix("\n...")


_NOTHING: Final[tuple[object, ...]] = (None, "", [])
_USUAL: Final = {"weight": 1, "zone": ""}
"""What goes without saying of a server."""
