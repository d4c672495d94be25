"""Where a registry says that a secret is, and in what header it goes."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from snapshots.registry.fields import RequestHeaderName
from snapshots.registry.paths import MAX_PATH_CHARACTERS
from snapshots.registry.problems import ValueRefusedError, code

SOURCE_PATTERN: Final = r"^\S(.*[^\s/])?$"
VARIABLE_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"


def _check_source(name: str) -> str:
    if not name.isprintable() or not re.fullmatch(SOURCE_PATTERN, name):
        raise ValueRefusedError(  # which may be the secret itself, so it is not repeated
            "not the path of a file", "write the path, such as secrets/name, not what it holds"
        )
    return name


def _check_variable(name: str) -> str:
    if not re.fullmatch(VARIABLE_PATTERN, name):
        raise ValueRefusedError("not the name of a variable", "write the name, such as LLAMA_KEY")
    return name


UNSUITABLE: Final = frozenset(
    {"connection", "content-length", "content-type", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""What HTTP itself or the body needs."""
NOT_FOR_SECRETS: Final = ("x-gateway-", "x-envoy-")
PREFIX_PATTERN: Final = r"^([!-~][ -~]*)?$"
MAX_PREFIX_CHARACTERS: Final = 64


def _check_secret_header(name: str) -> str:
    name = name.lower()
    if name in UNSUITABLE or name.startswith(NOT_FOR_SECRETS):
        raise ValueRefusedError(
            f"{code(name)} is no header for a secret", "write authorization, x-api-key or api-key"
        )
    return name


def _check_prefix(prefix: str) -> str:
    if not re.fullmatch(PREFIX_PATTERN, prefix):
        raise ValueRefusedError("cannot stand in a header", 'write prefix: "Bearer "')
    return prefix


SecretHeaderName = Annotated[RequestHeaderName, AfterValidator(_check_secret_header)]
"""In lower case."""
SecretPrefix = Annotated[
    str,
    AfterValidator(_check_prefix),
    Field(max_length=MAX_PREFIX_CHARACTERS, json_schema_extra={"pattern": PREFIX_PATTERN}),
]
SourceName = Annotated[
    str,
    AfterValidator(_check_source),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": SOURCE_PATTERN}),
]
VariableName = Annotated[
    str, AfterValidator(_check_variable), Field(json_schema_extra={"pattern": VARIABLE_PATTERN})
]
