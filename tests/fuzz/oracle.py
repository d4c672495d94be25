"""What must be said of a body: a second reading that shares no code with the companion's.

The rule, by its own means:

- A body without bytes names no model (`missing_model`).
- A content-type whose part before `;` is `multipart/form-data` makes the body a form: see `form`.
  Any other body is JSON.
- JSON is UTF-8 without a byte order mark that `json.loads` accepts and makes a dict of; else it is
  `invalid_json`. The values of its top-level key `model` are read one after the other, so that a
  repeated key is seen.
- No value: `missing_model`. Several: each must be a string and equal to the first, else
  `ambiguous_model`. One that is no string, or blank: `missing_model`.
- A name that no registry holds is `model_not_found`: `-`, one with white space at an end, with a
  control character or a lone surrogate, or of more than 256 bytes.
- Nesting of more than 500 levels may be refused as `invalid_json`, or read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import py_scanstring

from tests.fuzz import form

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_OUTSIDE_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)

READ_LEVELS = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """A model, or the code of a refusal."""

    model: str | None = None
    code: str | None = None


def answer(body: bytes, content_type: bytes) -> Answer:
    """Return what must be said of *body*, if it is not nested deeper than `READ_LEVELS`."""
    if not body:
        return Answer(code="missing_model")
    try:
        if form.is_form(content_type):
            values: list[object] = [*form.models(body, content_type)]
        else:
            values = list(_top_level_models(body))
    except form.NoFormError:
        return Answer(code="invalid_multipart")
    except (ValueError, RecursionError):
        return Answer(code="invalid_json")
    return _one(values)


def is_deep(body: bytes) -> bool:
    """Tell whether *body* may be refused for its nesting alone."""
    level = 0
    for token in _OUTSIDE_STRINGS.findall(body):
        level += (token in b"[{") - (token in b"]}")
        if level > READ_LEVELS:
            return True
    return False


def _one(values: list[object]) -> Answer:
    if not values:
        return Answer(code="missing_model")
    if len(values) > 1 and not all(type(value) is str for value in values):
        return Answer(code="ambiguous_model")
    if len(set(map(str, values))) > 1:
        return Answer(code="ambiguous_model")
    name = values[0]
    if type(name) is not str or re.fullmatch(r"\s*", name):
        return Answer(code="missing_model")
    return Answer(model=name) if _may_be_held(name) else Answer(code="model_not_found")


def _may_be_held(name: str) -> bool:
    categories = set(map(unicodedata.category, name))
    return not (
        name == "-"
        or re.match(r"\s", name)
        or re.search(r"\s\Z", name)
        or categories & {"Cc", "Cs"}
        or len(name.encode()) > 256
    )


def _top_level_models(body: bytes) -> Iterator[object]:
    text = body.decode("utf-8")
    if text[0] == "\ufeff":
        raise ValueError("byte order mark")
    if not isinstance(json.loads(text), dict):
        raise ValueError("not an object")  # noqa: TRY004 - it is the value that is wrong
    # Valid from here on: only the edges need to be found.
    at = _SPACE.match(text).end() + 1
    while text[at := _SPACE.match(text, at).end()] != "}":
        key, at = py_scanstring(text, at + 1)
        at = text.index(":", at) + 1
        value, at = _DECODER.raw_decode(text, _SPACE.match(text, at).end())
        if key == "model":
            yield value
        at = _SPACE.match(text, at).end()
        if text[at] == ",":
            at += 1
