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
    printable,
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
        if error["type"] != "missing":
            path = self._document.existing(path)  # without `address` for a short form
        if special := self._special.get(error["type"]):
            return Refusal(path, *special(path, error))
        if expected := _EXPECTED.get(error["type"]):
            message = f"must be {expected}, {self._description(path, error['input'])}"
            return Refusal(path, message, self._hint(path, error))
        message = _LIMITS.get(error["type"], "{msg}").format_map(_facts(error))
        return Refusal(path, message, _FORMS.get(_form_of(path), ""))

    def _unknown_field(self, path: Path, _error: ErrorDetails) -> tuple[str, str]:
        known = _fields_at(path[:-1])
        listed = f"known here: {', '.join(known)}"
        return "unknown field", self._suggestions.hint(str(path[-1]), known, listed)

    def _missing_field(self, path: Path, _error: ErrorDetails) -> tuple[str, str]:
        if path == ("version",):
            return "missing", "start the file with `version: 1`"
        return "missing", _FORMS.get(_form_of(path), "")

    def _refused_value(self, _path: Path, error: ErrorDetails) -> tuple[str, str]:
        refused = error.get("ctx", {}).get("error")
        if isinstance(refused, ValueRefusedError):
            return refused.message, refused.hint
        return error["msg"], ""

    def _not_a_choice(self, path: Path, error: ErrorDetails) -> tuple[str, str]:
        choices = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
        message = (
            f"must be one of {', '.join(map(code, choices))}, "
            f"{self._description(path, error['input'])}"
        )
        written = error["input"] if isinstance(error["input"], str) else ""
        return message, self._suggestions.hint(written, choices)

    def _description(self, path: Path, value: object) -> str:
        """Return what *value* is instead of what it should be, as its author sees it."""
        if isinstance(value, list | dict):
            return "not a list" if isinstance(value, list) else "not a mapping"
        if value == Unquoted("", "null"):
            return "but nothing is there"
        kind = value.kind if isinstance(value, Unquoted) else _KINDS.get(type(value), "value")
        return f"not the {kind} {code(self._document.written(path))}"

    def _hint(self, path: Path, error: ErrorDetails) -> str:
        value, written = error["input"], self._document.written(path)
        if error["type"] == "string_type" and written:
            return quote_it(written)
        if isinstance(value, Unquoted) and value.kind == "null":
            return "write a value, or remove the line"
        return _scalar_hint(error["type"], value) or _FORMS.get(_form_of(path), "")


def _scalar_hint(error_type: str, value: object) -> str:
    """Return how to turn the scalar *value* into what was expected, if that is easy to see."""
    match error_type, value:
        case "tuple_type", str():
            return f"write [{printable(value)}]"
        case "time_delta_type", int():
            return f"add the unit: {value}s"
        case "int_type", str() if value.isdecimal():
            return "remove the quotes"
        case "int_type", Unquoted():
            return "write plain digits, without a fraction"
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

_FORMS: Final = {
    "gateways": "leave it out for one gateway on 0.0.0.0:10000",
    "pools.*": "write {endpoints: [10.0.0.1:8000]}",
    "pools.*.endpoints": "write endpoints: [10.0.0.1:8000]",
    "pools.*.endpoints.*": "write 10.0.0.1:8000 or {address: 10.0.0.1:8000}",
    "pools.*.endpoints.*.address": "write address: 10.0.0.1:8000",
    "pools.*.health_check": "leave it out for the default, or write `false` for none",
    "models.*": "write {pool: llama-1b}",
    "models.*.split": "write {llama-1b: 70, llama-3b: 30}",
    "auth.clients.*": "write {key_file: keys/team-a}",
    "models.*.rate_limit": "write {requests_per_second: 10}",
    "auth.clients.*.rate_limit": "write {requests_per_second: 10}",
    "extraction.max_body": "write 16MiB, or a whole number of bytes",
}
"""What would be right, by the place with a star for names and indexes."""


AUTH_NAME: Final = 2
"""Where a name stands in a path that begins with `auth`."""


def _form_of(path: Path) -> str:
    pattern = (step if index % 2 == 0 else "*" for index, step in enumerate(path))
    if path[:1] == ("auth",):
        return ".".join("*" if index == AUTH_NAME else str(step) for index, step in enumerate(path))
    return ".".join(map(str, path[:2] if path[:1] == ("extraction",) else pattern))


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
