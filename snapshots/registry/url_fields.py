"""How URLs of providers are written and checked, and what stands for the path of requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from snapshots.registry.fields import check_request_path
from snapshots.registry.paths import MAX_PATH_CHARACTERS
from snapshots.registry.problems import ValueRefusedError, code
from snapshots.registry.urls import URL_PATTERN, ProviderUrl


def _check_rewrite(path: str) -> str:
    path = check_request_path(path)
    if "?" in path or "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueRefusedError(
            f"{code(path)} cannot stand for `/v1`", "write a plain path, such as /openai/v1"
        )
    return path.rstrip("/") or "/"


def _check_url(url: str) -> str:
    path = ProviderUrl.parse(url).path
    if path:
        _check_rewrite(path)
    return url


PathRewrite = Annotated[
    str,
    AfterValidator(_check_rewrite),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": "^/[^\\s#?]*$"}),
]
Url = Annotated[
    str,
    AfterValidator(_check_url),
    Field(max_length=MAX_PATH_CHARACTERS, json_schema_extra={"pattern": URL_PATTERN}),
]
