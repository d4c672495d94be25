"""What a registry refers to instead of holding it: certificates, keys and other secrets.

Pure: whoever calls has read the sources, and hands their contents over. They are for Envoy alone,
so nothing that may be printed by accident shows one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from typing_extensions import override

SourceKind = Literal["file", "variable", "system"]
Form = Literal["certificate", "key", "authorities", "text", "client key"]
"""What a content must be: a certificate with its chain, the private key of one, certificates of
authorities (PEM, all three), a text on one line, or the key that a client shows."""


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """Where a secret is kept."""

    kind: SourceKind
    name: str
    """Of a file as the registry writes it, or of an environment variable."""

    @override
    def __str__(self) -> str:
        words = {"file": "the file", "variable": "the variable", "system": "the system's"}
        return f"{words[self.kind]} {self.name}"


SYSTEM_AUTHORITIES: Final = Source("system", "certificate authorities")
"""What the machine of the control plane trusts."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a source held; not shown by `repr`."""

    value: bytes = field(repr=False)


Material = Mapping[Source, Content]
"""The content of every source that a registry refers to."""

NO_MATERIAL: Final[Material] = {}


@dataclass(frozen=True, slots=True)
class Mention:
    """An entry of a registry that refers to a source."""

    path: tuple[str | int, ...]
    source: Source
    form: Form


def placeholder(source: Source) -> Content:
    """Return what stands for the content of *source* where it must not or need not be known."""
    return Content(f"(content of {source})".encode())
