"""Which model a request body asks for: `model` at the top level of a JSON object, or of a form.

It does not know which models exist. A form is read by the rule in `multipart`; every other body,
whatever its content-type, is JSON. It reads the whole document, so that a body which is cut short
or malformed anywhere is refused here rather than by the model server, and it accepts what
`json.loads` accepts of a string:

- `NaN`, `Infinity` and `-Infinity` pass, because the usual model servers take them too.
- A byte order mark is refused (RFC 8259 section 8.1 forbids it, and a later reader of the same
  bytes might not see the same object); so are UTF-16 and UTF-32, which `json.loads` would guess.
- 500 levels of nesting are read. What is nested deeper than the interpreter's recursion limit is
  refused, and so are integers of more than 4,300 digits.

It costs as much time as `json.loads`, or less, and less memory: of a nested object nothing is kept.
It is not moved to a thread: the parser holds the interpreter lock from its first byte to its last,
so a thread would delay other requests as much.
"""

from __future__ import annotations

import codecs
import json
from collections import deque
from collections.abc import Sequence

from snapshots.registry.names import MAX_NAME_BYTES, check_name
from snapshots.registry.problems import ValueRefusedError
from xds_server.ext_proc.errors import ModelNameError, shortened
from xds_server.ext_proc.multipart import form_models, is_form

Members = list[tuple[str, object]]

# The parser calls `append` with the members of each object as it ends, repeated keys included, and
# takes the None that comes back for the object. The last one to end is the outermost. The call
# stays within C; nothing here is used by two threads.
_LAST_OBJECT: deque[Members] = deque(maxlen=1)
_DECODER = json.JSONDecoder(object_pairs_hook=_LAST_OBJECT.append)

_JSON_TYPES = {bool: "a boolean", int: "a number", float: "a number", list: "an array"}


def model_name(body: bytes, content_type: bytes = b"", default: str = "") -> str:
    """Return the model that *body* names, fit to be a header value once encoded as UTF-8.

    *default*, if not empty, is that of a body which is well-formed but has no `model` at all.
    Raises ModelNameError, and nothing else, for every body that does not name one.
    """
    if not body:
        raise ModelNameError("missing_model", "it has no body")
    values: Sequence[object]
    if is_form(content_type):
        place, values = "among the parts of the form", form_models(body, content_type)
    else:
        place = "at the top level of the body"
        values = [value for key, value in _members(body) if key == "model"]
        if values == [None]:
            # That may have been an object; what it is, only the refusal wants to know.
            values = [json.loads(body)["model"]]
    if not values and default:
        return default
    name = _only_one(values, place)
    if not name or name.isspace():
        raise ModelNameError("missing_model", '"model" is blank')
    if not is_routable(name):
        raise ModelNameError("model_not_found", shortened(name))
    return name


def is_routable(name: str) -> bool:
    """Tell whether a registry could hold *name*; such a name is also a header value in UTF-8."""
    # First, so that a very long name is not looked at character by character.
    if len(name) > MAX_NAME_BYTES:
        return False
    try:
        check_name(name)
    except ValueRefusedError:
        return False
    return True


def _members(body: bytes) -> Members:
    """Return the members of the JSON object *body* in their order, repeated keys included."""
    if body.startswith(codecs.BOM_UTF8):
        raise _invalid("it starts with a byte order mark")
    try:
        members = _outermost(str(body, "utf-8"))
    except UnicodeDecodeError as error:
        raise _invalid(f"it is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise _invalid(f"{error.msg} at line {error.lineno} column {error.colno}") from None
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except ValueError:
        raise _invalid("a number has too many digits") from None
    if members is None:
        raise _invalid("an object in braces was expected")
    return members


def _outermost(text: str) -> Members | None:
    """Return the members of the object that *text* is, or None if it is another value."""
    try:
        document = _DECODER.decode(text)
        return _LAST_OBJECT[0] if document is None and _LAST_OBJECT else None
    finally:
        _LAST_OBJECT.clear()


def _invalid(detail: str) -> ModelNameError:
    return ModelNameError("invalid_json", detail)


def _only_one(values: Sequence[object], place: str) -> str:
    """Return the one value of `model`; repeating it is allowed, if it stays the same string."""
    if not values:
        raise ModelNameError("missing_model", f'there is no "model" {place}')
    first = values[0]
    if any(not isinstance(value, str) or value != first for value in values[1:]):
        raise ModelNameError("ambiguous_model", '"model" is given twice with different values')
    if isinstance(first, str):
        return first
    raise ModelNameError("missing_model", _not_a_string(first))


def _not_a_string(value: object) -> str:
    if value is None:
        return '"model" is null'
    kind = _JSON_TYPES.get(type(value), "an object")
    return f'"model" is {kind}; write it as a string, in quotes'
