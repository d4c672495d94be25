"""What may stand in `headers` of a model or of a pool."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from snapshots.registry.fields import FIELD_NAME, MAX_TOKEN_CHARACTERS, REMOVED
from snapshots.registry.problems import ValueRefusedError, code
from snapshots.registry.schema.part import RegistryPart
from snapshots.registry.secret_fields import UNSUITABLE

MAX_VALUE_CHARACTERS: Final = 4096
VALUE_PATTERN: Final = r"^([!-~]([ -~]*[!-~])?)?$"
NOT_TO_CHANGE: Final = UNSUITABLE - {"content-type"}


def _check_name(name: str) -> str:
    lower = name.lower()
    if lower.startswith(":") or lower in NOT_TO_CHANGE:
        raise ValueRefusedError(
            f"{code(name)} is HTTP's own", "choose another header, or `path_rewrite` for the path"
        )
    if lower.startswith(REMOVED):
        raise ValueRefusedError(f"{code(name)} is the gateway's own", "choose another name")
    if not re.fullmatch(FIELD_NAME, name):
        raise ValueRefusedError(f"{code(name)} is not a name of a header", "letters, digits, `-`")
    return lower


def _check_value(value: str) -> str:
    if not re.fullmatch(VALUE_PATTERN, value):
        raise ValueRefusedError(
            "cannot stand in a header", "printable ASCII, without blanks at the ends"
        )
    return value


ChangedHeader = Annotated[
    str,
    AfterValidator(_check_name),
    Field(max_length=MAX_TOKEN_CHARACTERS, json_schema_extra={"pattern": FIELD_NAME}),
]
"""In lower case."""
HeaderText = Annotated[
    str,
    AfterValidator(_check_value),
    Field(max_length=MAX_VALUE_CHARACTERS, json_schema_extra={"pattern": VALUE_PATTERN}),
]


class HeaderChanges(RegistryPart):
    """What becomes of the headers of requests, or of answers."""

    set: dict[ChangedHeader, HeaderText] = Field(
        default={},
        description=(
            "Headers, and the value that each gets whatever it had; as it is written, without "
            "variables. Not for secrets: see `auth.upstream`."
        ),
        examples=[{"x-team": "search"}],
    )
    remove: tuple[ChangedHeader, ...] = Field(
        default=(),
        description="Headers that are taken away.",
        examples=[["x-debug"]],
    )


class Headers(RegistryPart):
    """Headers that are set or removed on the way to servers and back."""

    request: HeaderChanges = Field(
        default=HeaderChanges(),
        description="Of requests, before a server sees them.",
        examples=[{"set": {"x-team": "search"}, "remove": ["x-debug"]}],
    )
    response: HeaderChanges = Field(
        default=HeaderChanges(),
        description="Of answers, before the client sees them.",
        examples=[{"set": {"cache-control": "no-store"}, "remove": ["server-timing"]}],
    )
