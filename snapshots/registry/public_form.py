"""A registry without what identifies a secret: what may be shown to whoever may see the fleet.

Names of files and variables stay, as they tell where a secret is and not what it is. The digest of
a key goes: who has it can try out keys without anybody noticing.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from snapshots.material import Content, Material
from snapshots.registry.mentions import mentions, placeholders
from snapshots.registry.schema import Registry

SECRET_FIELDS: Final = frozenset({"key_sha256"})
"""The fields whose values are not shown, wherever they stand."""


def public_form(registry: Registry) -> dict[str, Any]:
    """Return *registry* as plain data that JSON can hold and `load_registry` reads.

    In the place of each secret field stands something of the same form, the same always for the
    same entry: whether two registries differ in it cannot be told from their public forms.
    """
    form: dict[str, Any] = registry.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    _hide(form, ())
    return form


def _hide(form: dict[str, Any], path: tuple[str, ...]) -> None:
    for key, value in form.items():
        if key in SECRET_FIELDS:
            form[key] = _stand_in("/".join(path))
        elif isinstance(value, dict):
            _hide(value, (*path, key))


def stand_ins(registry: Registry) -> Material:
    """Return what stands for everything that *registry* refers to, keys of clients included.

    Other than with `placeholders` alone, what is built with it is as long as with the real keys.
    """
    keys = (mention for mention in mentions(registry) if mention.form == "client key")
    known = {m.source: Content(_stand_in("/".join(map(str, m.path))).encode()) for m in keys}
    return {**placeholders(registry), **known}


def _stand_in(place: str) -> str:
    """Return 64 hexadecimal digits that depend on nothing but *place*."""
    return hashlib.sha256(f"not shown: {place}".encode()).hexdigest()
