"""Which path prefixes may select a model, and what of them the server gets to see.

A leading API version segment stays, the rest of the prefix is cut:
`/v1/1b/chat/completions` becomes `/v1/chat/completions` for the prefix `/v1/1b`.
"""

from __future__ import annotations

import re
from typing import Final

from snapshots.registry.problems import ValueRefusedError, code

PATH_PATTERN: Final = r"^(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+$"
MAX_PATH_CHARACTERS: Final = 1024

_VERSION_SEGMENT: Final = re.compile(r"v[0-9]+", re.ASCII)
_SEGMENT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+")
_API: Final = ("chat/completions", "completions", "embeddings", "models", "responses")
"""What clients call below `/v1`."""


def split_prefix(prefix: str) -> tuple[str, str]:
    """Return what stays of *prefix* and what is cut: `("/v1", "/1b")` or `("", "/team/llama")`."""
    first, slash, rest = prefix[1:].partition("/")
    if _VERSION_SEGMENT.fullmatch(first):
        return f"/{first}", slash + rest
    return "", prefix


def check_path(path: str) -> str:
    """Return *path* if it can select a model, or raise `ValueRefusedError`."""
    if not path:
        raise ValueRefusedError("a path must not be empty", "write a path such as `/v1/llama`")
    if not path.startswith("/"):
        raise ValueRefusedError("a path must start with `/`", f"write {code('/' + path)}")
    if len(path) > MAX_PATH_CHARACTERS:
        raise ValueRefusedError(f"a path has at most {MAX_PATH_CHARACTERS} characters")
    _check_own_segments(path.rstrip("/"))
    if path.endswith("/"):
        raise ValueRefusedError("a path must not end with `/`", f"write {code(path.rstrip('/'))}")
    _check_segments(path)
    _check_api(path)
    return path


def _check_own_segments(path: str) -> None:
    if not split_prefix(path)[1]:
        raise ValueRefusedError(
            "this path would take every request",
            f"add a segment of its own, such as {code((path or '/v1') + '/llama')}",
        )


def _check_segments(path: str) -> None:
    for segment in path[1:].split("/"):
        if segment in ("", ".", ".."):
            raise ValueRefusedError("a path must not hold `//`, `/.` or `/..`")
        if not _SEGMENT.fullmatch(segment):
            raise ValueRefusedError(
                f"{code(segment)} cannot be part of a path",
                "no `?`, `#` or spaces; percent-encode other characters",
            )


def _check_api(path: str) -> None:
    version, own = split_prefix(path)
    if not version:
        last = path.rpartition("/")[2]
        if _VERSION_SEGMENT.fullmatch(last):
            raise ValueRefusedError(
                f"{code('/' + last)} at the end would be cut and not reach the server",
                f"write {code(path.rpartition('/')[0])}",
            )
        return
    if own == "/models" or own.startswith("/models/"):
        raise ValueRefusedError(f"{code(version + '/models')} is the list of models")
    if any(f"/{call}/".startswith(f"{own}/") for call in _API):
        raise ValueRefusedError(
            f"{code(path)} is an address of the API itself: it would take other models' requests",
            f"add a segment of its own, such as {code(version + '/llama')}",
        )
