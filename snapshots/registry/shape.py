"""Whether each entry of a registry has the right form: pydantic decides, this module words it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from snapshots.registry.document import Document, Unquoted
from snapshots.registry.problems import (
    Path,
    Refusal,
    Suggestions,
    ValueRefusedError,
    code,
    quote_it,
)
from snapshots.registry.schema import Registry

ANY: Final = None
"""Stands for any key or index in the path of a part."""

PartPath = tuple[str | None, ...]


def parts(
    part: type[BaseModel] = Registry, path: PartPath = ()
) -> Iterator[tuple[PartPath, type[BaseModel]]]:
    """Yield every kind of mapping in a registry and where it stands, the file itself first."""
    yield path, part
    for name, field in part.model_fields.items():
        for steps, inner in _parts_in(field.annotation):
            yield from parts(inner, (*path, name, *steps))


def _parts_in(annotation: Any) -> Iterator[tuple[PartPath, type[BaseModel]]]:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    collection = get_origin(annotation) in (dict, tuple)
    for argument in get_args(annotation):
        for steps, part in _parts_in(argument):
            yield ((ANY, *steps) if collection else steps), part


_FIELDS: Final = {path: tuple(part.model_fields) for path, part in parts()}


def check_shape(document: Document, suggestions: Suggestions) -> Registry | list[Refusal]:
    """Return the registry in *document*, or every entry whose form is wrong."""
    try:
        return Registry.model_validate(document.data)
    except ValidationError as invalid:
        wording = _Wording(document, suggestions)
        return [wording.refusal(error) for error in invalid.errors(include_url=False)]


class _Wording:
    """Say in the words of the file what pydantic found."""

    def __init__(self, document: Document, suggestions: Suggestions) -> None:
        self._document = document
        self._suggestions = suggestions
        self._special: dict[str, Callable[[Path, ErrorDetails], tuple[str, str]]] = {
            "extra_forbidden": self._unknown_field,
            "missing": self._missing_field,
            "value_error": self._refused_value,
            "literal_error": self._not_a_choice,
        }

    def refusal(self, error: ErrorDetails) -> Refusal:
        path = tuple(step for step in error["loc"] if step != "[key]")
        if special := self._special.get(error["type"]):
            return Refusal(path, *special(path, error))
        if expected := _EXPECTED.get(error["type"]):
            message = f"must be {expected}, not {self._describe(path, error['input'])}"
            return Refusal(path, message, self._hint(path, error))
        return Refusal(path, _LIMITS.get(error["type"], "{msg}").format_map(_facts(error)))

    def _unknown_field(self, path: Path, _error: ErrorDetails) -> tuple[str, str]:
        known = _fields_at(path[:-1])
        listed = f"known here: {', '.join(known)}"
        return "unknown field", self._suggestions.hint(str(path[-1]), known, listed)

    def _missing_field(self, path: Path, _error: ErrorDetails) -> tuple[str, str]:
        if path == ("version",):
            return "missing", "start the file with `version: 1`"
        return "missing", _MISSING.get(str(path[-1]), "")

    def _refused_value(self, _path: Path, error: ErrorDetails) -> tuple[str, str]:
        refused = error.get("ctx", {}).get("error")
        if isinstance(refused, ValueRefusedError):
            return refused.message, refused.hint
        return error["msg"], ""

    def _not_a_choice(self, path: Path, error: ErrorDetails) -> tuple[str, str]:
        choices = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        message = (
            f"must be one of {', '.join(map(code, choices))}, "
            f"not {self._describe(path, error['input'])}"
        )
        return message, self._suggestions.hint(str(error["input"]), choices)

    def _describe(self, path: Path, value: object) -> str:
        """Return what *value* is, as its author sees it."""
        if isinstance(value, list | dict):
            return "a list" if isinstance(value, list) else "a mapping"
        if value == Unquoted("", "null"):
            return "empty"
        kind = value.kind if isinstance(value, Unquoted) else _KINDS[type(value)]
        return f"the {kind} {code(self._document.written(path))}"

    def _hint(self, path: Path, error: ErrorDetails) -> str:
        value = error["input"]
        written = self._document.written(path)
        if value == Unquoted("", "null"):
            return "write a value, or remove the line"
        if error["type"] == "string_type" and written:
            return quote_it(written)
        if error["type"] == "tuple_type" and isinstance(value, str):
            return f"write [{value}]"
        if error["type"] == "time_delta_type" and isinstance(value, int):
            return f"add the unit: {value}s"
        if error["type"] == "int_type" and isinstance(value, str) and value.isdecimal():
            return "remove the quotes"
        return ""


_KINDS: Final[Mapping[type, str]] = {bool: "boolean", int: "number", str: "text"}

_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "time_delta_type": "a duration such as 300s",
    "is_instance_of": "an address such as 10.0.0.1:8000",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""What a value should have been, by the type of pydantic's error."""

_LIMITS: Final = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "string_too_long": "must have at most {max_length} characters",
}

_MISSING: Final = {
    "endpoints": "add `endpoints: [10.0.0.1:8000]`",
    "address": "add `address: 10.0.0.1:8000`",
}


def _facts(error: ErrorDetails) -> dict[str, object]:
    return {"msg": error["msg"], **error.get("ctx", {})}


def _fields_at(path: Path) -> tuple[str, ...]:
    """Return the fields that a mapping at *path* may have."""
    for pattern, fields in _FIELDS.items():
        if len(pattern) == len(path) and all(
            wanted in (ANY, step) for wanted, step in zip(pattern, path, strict=True)
        ):
            return fields
    return ()
