"""What gRPC adds to HTTP/2: messages with a prefix, and a status in the trailers.

Source: "gRPC over HTTP2" (PROTOCOL-HTTP2.md of gRPC's documentation).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from xds_server.ext_proc.wire.headers import RESPONSE, Fields, literal

PREFIX_BYTES: Final = 5
prefix: Final = struct.Struct(">BI").unpack_from
"""Read a prefix: whether the message is compressed, and its length."""

MAX_WORDS_BYTES: Final = 1024

_NOT_GRPC = b"\x08\x03415"
"""`:status: 415`, its name from the static table."""
_REQUIRED = frozenset({b":method", b":scheme", b":path"})
_PSEUDO = _REQUIRED | {b":authority"}
_PRINTABLE = range(0x20, 0x7F)


class Status(IntEnum):
    """Statuses of gRPC that we answer with."""

    OK = 0
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13


class Reply(NamedTuple):
    """What to send on a call: a message in its frame of gRPC if not empty, then trailers if any."""

    message: bytes
    trailers: bytes | None


class Call(Protocol):
    """One call from a client; it is over with the first reply that has trailers."""

    def message(self, content: bytes | memoryview) -> Reply:
        """Answer a message."""

    def half_closed(self) -> Reply:
        """Answer that no message follows; the reply must have trailers."""


Method = Callable[[], Call]
"""Opens a call."""


class Service(Protocol):
    """What calls may be made."""

    def method(self, path: bytes, metadata: Mapping[bytes, bytes]) -> Method | None:
        """Return the method called *path*, if there is one.

        Calls with the same *metadata*, the fields of a request, may share what is returned.
        """


def framed(message: bytes) -> bytes:
    """Return *message* with its prefix, uncompressed."""
    return b"\x00%b%b" % (len(message).to_bytes(4), message)


def trailers(status: Status, words: str = "") -> bytes:
    """Return the header block that ends a call with *status*; *words* tell a person why."""
    block = literal(b"grpc-status", b"%d" % status)
    return block + literal(b"grpc-message", _percent_encoded(words)) if words else block


def refusal(status: Status, words: str) -> Reply:
    """Return the end of a call that could not be served."""
    return Reply(b"", trailers(status, words))


def ended(message: bytes) -> Reply:
    """Return *message* as the last answer of a call that went well."""
    return Reply(framed(message), OK)


OK: Final = trailers(Status.OK)


def opened_by(fields: Fields, service: Service) -> Method | bytes | None:
    """Return the method that a request's *fields* ask for.

    Or the header block that is the whole answer where there is none, or None for a request that is
    malformed (RFC 9113 section 8.1.1).
    """
    names = [name for name, _ in fields]
    pseudo = [name for name in names if name.startswith(b":")]
    if (
        len(set(pseudo)) < len(pseudo)
        or not _REQUIRED <= set(pseudo) <= _PSEUDO
        or names[: len(pseudo)] != pseudo
        or any(name != name.lower() for name in names)
    ):
        return None
    values = dict(fields)
    content_type = values.get(b"content-type", b"")
    if values[b":method"] != b"POST" or not content_type.startswith(b"application/grpc"):
        return _NOT_GRPC
    path = values[b":path"]
    words = f"there is no method {path[:200].decode(errors='replace')}"
    return service.method(path, values) or RESPONSE + trailers(Status.UNIMPLEMENTED, words)


def _percent_encoded(words: str) -> bytes:
    encoded = words.encode(errors="replace")[:MAX_WORDS_BYTES]
    return b"".join(
        b"%c" % byte if byte in _PRINTABLE and byte != ord("%") else b"%%%02X" % byte
        for byte in encoded
    )
