"""What a simulated server saw of a request: which body, to the byte, and which routing headers.

Does not read from a socket; `server` hands over what arrived.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.form import is_form, read_form

ROUTING_HEADERS = "x-gateway-"
MAX_HEADER_CHARS = 1024
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True, slots=True)
class Received:
    """A request with a body of JSON, or a form, as it arrived."""

    path: str
    """Path and query, as on the request line."""
    headers: Mapping[str, str]
    """The `x-gateway-*` headers, names in lower case."""
    body_bytes: int
    body_sha256: str
    """Hexadecimal digest of the body's bytes."""
    model: str | None
    """The name in the body; None if it has none."""
    fields: Mapping[str, object] = field(repr=False)
    """The body's JSON object, or the fields of the form."""

    def asking(self, fields: Mapping[str, object]) -> Received:
        """Return the same request as if its body held *fields*."""
        return replace(self, fields=fields)

    def report(self, server: str) -> dict[str, object]:
        """Return the object `simulate` of an answer."""
        return {
            "server": server,
            "model": self.model,
            "path": self.path,
            "body_sha256": self.body_sha256,
            "body_bytes": self.body_bytes,
            "headers": dict(self.headers),
        }


def read_received(path: str, raw_headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Received:
    """Return the request made of these parts.

    RefusedError (400) if the body is neither a JSON object nor a form that says that it is one.
    """
    raw_headers = tuple(raw_headers)
    content_type = _content_type(raw_headers)
    fields = read_form(content_type, body) if is_form(content_type) else _json_object(body)
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise RefusedError(400, "`model` must be a string", param="model", code="invalid_type")
    return Received(
        path=path,
        headers=_routing_headers(raw_headers),
        body_bytes=len(body),
        body_sha256=hashlib.sha256(body).hexdigest(),
        model=model,
        fields=fields,
    )


def header_text(value: str) -> str:
    """Return *value* as one safe header value: percent-encoded outside printable ASCII, bounded.

    A `%` is encoded too, so that `urllib.parse.unquote` gives the name back.
    """
    return quote(value, safe=_PLAIN, errors="backslashreplace")[:MAX_HEADER_CHARS]


def _json_object(body: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"The body is not valid JSON: {error}"
        raise RefusedError(400, message, code="invalid_json") from error
    if not isinstance(parsed, dict):
        raise RefusedError(400, "The body is not a JSON object", code="invalid_json")
    return parsed


def _content_type(raw_headers: Iterable[tuple[bytes, bytes]]) -> str:
    found = [value for name, value in raw_headers if name.lower() == b"content-type"]
    return found[0].decode("latin-1") if found else ""


def _routing_headers(raw_headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in raw_headers:
        name = raw_name.decode("latin-1").lower()
        if name.startswith(ROUTING_HEADERS):
            value = raw_value.decode("utf-8", "backslashreplace")
            # The same header twice is joined, so that a copy smuggled in by a client shows.
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found
