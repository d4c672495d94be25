"""Where a registry says that a secret is: names of files and of variables."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from snapshots.registry.paths import MAX_PATH_CHARACTERS
from snapshots.registry.problems import ValueRefusedError

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


SourceName = Annotated[
    str,
    AfterValidator(_check_source),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": SOURCE_PATTERN}),
]
VariableName = Annotated[
    str, AfterValidator(_check_variable), Field(json_schema_extra={"pattern": VARIABLE_PATTERN})
]
