"""What is changed of requests and answers on their way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from snapshots.registry import schema

PATH: Final = ":path"
HOST: Final = ":authority"


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """Names in lower case, and sorted."""

    set: tuple[tuple[str, str], ...] = ()
    """Each with its value."""
    remove: tuple[str, ...] = ()

    @property
    def named(self) -> frozenset[str]:
        """Every header that is changed."""
        return frozenset({*dict(self.set), *self.remove})


@dataclass(frozen=True, slots=True)
class Headers:
    """Changes on the way to a server, and back."""

    request: HeaderChanges = HeaderChanges()
    response: HeaderChanges = HeaderChanges()


NO_CHANGES: Final = Headers()


@dataclass(frozen=True, slots=True)
class Mount:
    """Where servers have their API, if not where clients ask for it."""

    path: str | None = None
    """What stands for `/v1`; None: it stays."""
    host: str = ""
    """What servers are told; empty: what the client wrote."""

    @property
    def named(self) -> frozenset[str]:
        """The pseudo headers that are changed."""
        paths = () if self.path is None else (PATH,)
        return frozenset({*paths, *((HOST,) if self.host else ())})


NO_MOUNT: Final = Mount()


def translate_headers(headers: schema.Headers) -> Headers:
    """Return what *headers* of a registry asks for."""
    return Headers(_changes(headers.request), _changes(headers.response))


def _changes(changes: schema.HeaderChanges) -> HeaderChanges:
    wanted: Mapping[str, str] = changes.set
    return HeaderChanges(tuple(sorted(wanted.items())), tuple(sorted(changes.remove)))
