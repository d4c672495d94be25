"""Canonical bytes of a message, and the version that is their hash.

The only caller of `bytes(message)`: a resource is serialised once for each content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, TypeAlias, cast

import betterproto2
from envoy_data_plane.google.protobuf import Any, ListValue, NullValue, Struct, Value
from envoy_data_plane.message_pool import default_message_pool

from snapshots.snapshot import Resource
from snapshots.type_urls import TypeUrl

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plain: TypeAlias = "str | float | bool | Mapping[str, Plain] | Sequence[Plain] | None"
"""What JSON can say."""


# A message is validated when it is constructed, and nothing here changes one afterwards. Without
# this, `bytes(message)` builds a new validator for every nested message: seven eighths of its time.
def _already_validated(self: betterproto2.Message) -> None:
    """Do nothing."""


# The default of every field is looked up to tell whether the field is written. betterproto2 makes
# it anew each time, with the warning filters of the process changed meanwhile.
_defaults: dict[tuple[type, str], object] = {}


def _remembered_default(self: betterproto2.Message, field_name: str) -> object:
    """Return the default of a field; it is only ever compared with."""
    key = (type(self), field_name)
    if key not in _defaults:
        _defaults[key] = _make_default(self, field_name)
    return _defaults[key]


_make_default = betterproto2.Message._get_field_default  # noqa: SLF001
betterproto2.Message._validate = _already_validated  # type: ignore[method-assign]  # noqa: SLF001
betterproto2.Message._get_field_default = _remembered_default  # type: ignore[method-assign]  # noqa: SLF001


def encode(name: str, message: betterproto2.Message, origin: tuple[str, ...] = ()) -> Resource:
    """Return the resource *name*; equal messages give equal bytes and versions always."""
    packed = pack(message)
    return Resource.of(TypeUrl(packed.type_url), name, packed.value, origin)


def pack(message: betterproto2.Message) -> Any:
    """Return *message* as an `Any` of canonical bytes."""
    _sort_maps(message)
    type_url = default_message_pool.type_to_url[type(message)]
    return Any(type_url=type_url, value=bytes(message))


def _sort_maps(message: betterproto2.Message) -> None:
    """Sort every map of *message*: betterproto2 writes a map in the order of its insertion."""
    for field in fields(cast("DataclassInstance", message)):
        value = getattr(message, field.name)
        if isinstance(value, betterproto2.Message):
            _sort_maps(value)
        elif isinstance(value, dict):
            entries = sorted(value.items())
            value.clear()
            value.update(entries)
            _sort_each(entry for _, entry in entries)
        elif isinstance(value, list):
            _sort_each(value)


def _sort_each(values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, betterproto2.Message):
            _sort_maps(value)


def struct(plain: Mapping[str, Plain]) -> Struct:
    """Return a `google.protobuf.Struct` of *plain*."""
    return Struct(fields={key: _value(value) for key, value in plain.items()})


def _value(plain: Plain) -> Value:
    if plain is None:
        return Value(null_value=NullValue(0))
    if isinstance(plain, bool):
        return Value(bool_value=plain)
    if isinstance(plain, str):
        return Value(string_value=plain)
    if isinstance(plain, Mapping):
        return Value(struct_value=struct(plain))
    if isinstance(plain, Sequence):
        return Value(list_value=ListValue(values=[_value(item) for item in plain]))
    return Value(number_value=plain)
