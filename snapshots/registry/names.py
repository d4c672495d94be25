"""Which names a registry may hold: one rule for models, aliases, adapters, pools and gateways.

A model name travels in a request header and is the key of a scope, hence no control characters
and a bound; `-` is the scope of requests without a name.
"""

from __future__ import annotations

import unicodedata

from snapshots.registry.problems import ValueRefusedError, code

MAX_NAME_BYTES = 256
"""Of the name in UTF-8."""

NAME_PATTERN = r"^(?!-$)\S(.*\S)?$"
"""The rule as far as a JSON Schema can say it."""
REQUESTED_PATTERN = r"^(?!-$)(\*|[^\s*]([^*]*\S)?)$"
"""The rule of models and aliases."""
ADAPTER_PATTERN = r"^(?!-$)[^\s*]([^*]*[^\s*])?$"
"""The rule of adapters."""
WILDCARD = "*"
"""At the end of a model's name or an alias: whatever a client writes there."""

_CONTROL = frozenset({"Cc", "Cs"})
"""Unicode's control characters and lone surrogates."""


def check_name(name: str) -> str:
    """Return *name* if a registry may hold it, or raise `ValueRefusedError`."""
    if not name.strip():
        raise ValueRefusedError("a name must not be empty", "write a name, or remove the entry")
    if name == "-":
        raise ValueRefusedError("`-` stands for a request without a model", "choose another name")
    if name != name.strip():
        raise ValueRefusedError(
            "a name must not begin or end with white space", f"write {code(name.strip())}"
        )
    if not name.isascii() or not name.isprintable():
        _check_characters(name)
    size = len(name.encode())
    if size > MAX_NAME_BYTES:
        raise ValueRefusedError(
            f"a name has at most {MAX_NAME_BYTES} bytes in UTF-8, this one has {size}"
        )
    return name


def check_requested(name: str) -> str:
    """Return *name* if a model or an alias may have it, or raise `ValueRefusedError`."""
    check_name(name)
    head = name.removesuffix(WILDCARD)
    if WILDCARD in head:
        hint = f"write {code(name.partition(WILDCARD)[0] + WILDCARD)}"
        raise ValueRefusedError("a `*` may stand only at the end of a name", hint)
    return name


def check_adapter(name: str) -> str:
    """Return *name* if an adapter may have it, or raise `ValueRefusedError`."""
    check_name(name)
    if WILDCARD in name:
        raise ValueRefusedError(
            "an adapter's name must not hold a `*`",
            "list each adapter, or give a model a name such as `ft:*`",
        )
    return name


def is_wildcard(name: str) -> bool:
    """Tell whether *name*, of a model or an alias, stands for all names that begin like it."""
    return name.endswith(WILDCARD)


def _check_characters(name: str) -> None:
    for character in name:
        if unicodedata.category(character) in _CONTROL:
            raise ValueRefusedError(f"a name must not hold the control character {code(character)}")
