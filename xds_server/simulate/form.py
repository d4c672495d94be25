"""The fields of a form with files, as clients send audio: `multipart/form-data`, RFC 7578.

Only what clients of model servers write is read; a part that cannot be told is refused.
"""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import HTTP

from xds_server.simulate.errors import RefusedError

FORM = "multipart/form-data"


def is_form(content_type: str) -> bool:
    """Tell whether a body of *content_type* is a form."""
    return content_type.partition(";")[0].strip().lower() == FORM


def read_form(content_type: str, body: bytes) -> dict[str, object]:
    """Return the fields of *body*: text as it is, a file as its name, bytes and sha256.

    RefusedError (400) if it is no complete form.
    """
    boundary = _headers(f"content-type: {content_type}".encode()).get_boundary()
    if not boundary:
        raise _refused("no boundary")
    # The first delimiter has no line end before it.
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if not parts or first or not parts[-1].startswith(b"--"):
        raise _refused("no closing delimiter")
    return dict(_field(part) for part in parts[:-1])


def _field(part: bytes) -> tuple[str, object]:
    head, blank_line, content = part.partition(b"\r\n\r\n")
    headers = _headers(head.strip())
    name = headers.get_param("name", header="content-disposition")
    if not blank_line or not isinstance(name, str):
        raise _refused("a part without a name")
    if headers.get_filename() is None:
        return name, content.decode("utf-8", "replace")
    digest = hashlib.sha256(content).hexdigest()
    return name, {"filename": headers.get_filename(), "bytes": len(content), "sha256": digest}


def _headers(head: bytes) -> EmailMessage:
    return BytesHeaderParser(policy=HTTP).parsebytes(head)


def _refused(why: str) -> RefusedError:
    return RefusedError(400, f"The body is not a complete form: {why}", code="invalid_multipart")
