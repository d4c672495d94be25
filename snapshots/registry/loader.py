"""From the bytes of a registry file to a `Registry`, or to every reason why not.

Reads no files: whoever calls has the bytes already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from snapshots.registry.document import Document
from snapshots.registry.problems import (
    Path,
    Problem,
    Refusal,
    RegistryError,
    Suggestions,
    place_of,
)
from snapshots.registry.references import check_references
from snapshots.registry.schema import Registry
from snapshots.registry.shape import check_shape
from snapshots.registry.yaml_tree import YamlError

__all__ = [
    "MAX_FILE_BYTES",
    "Problem",
    "RegistryError",
    "load_registry",
    "locate",
    "place_of",
    "refused",
]

MAX_FILE_BYTES: Final = 16 * 2**20
"""A larger file is refused unread."""


def load_registry(text: bytes, source: str) -> Registry:
    """Return the registry that *text* holds; *source* is the file's name in messages.

    Raises `RegistryError` with all problems at once, as far as the text is YAML at all.
    """
    try:
        document = _read(text)
    except YamlError as error:
        problem = Problem(source, error.line, error.column, "", error.message, error.hint)
        raise RegistryError((problem,)) from error
    suggestions = Suggestions()
    result = check_shape(document, suggestions)
    refusals = [*document.refusals, *check_references(document.data, suggestions)]
    if isinstance(result, Registry) and not refusals:
        return result
    if not isinstance(result, Registry):
        refusals += result
    raise RegistryError(_problem(refusal, document, source) for refusal in refusals)


def locate(text: bytes, path: Path) -> tuple[int, int]:
    """Return line and column, from 1, of the entry at *path*: where its key or list item begins.

    An entry that *text* does not hold is placed where the nearest one around it is.
    """
    try:
        return _read(text).position(path)
    except YamlError as error:
        return error.line, error.column


def refused(text: bytes, source: str, refusals: Iterable[Refusal]) -> RegistryError:
    """Return the error that tells of *refusals* of the registry *text*, which is one by itself."""
    document = Document(text)
    return RegistryError(_problem(refusal, document, source) for refusal in refusals)


def _read(text: bytes) -> Document:
    if len(text) > MAX_FILE_BYTES:
        raise YamlError(1, 1, f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        raise YamlError(line, column, "not UTF-8", "save the file as UTF-8") from error
    return Document(text)


def _problem(refusal: Refusal, document: Document, source: str) -> Problem:
    line, column = refusal.position or document.position(refusal.path)
    return Problem(source, line, column, place_of(refusal.path), refusal.message, refusal.hint)
