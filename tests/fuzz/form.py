"""The second reading of forms: bytes are taken off the front, one rule after the other.

The rule is that of the docstring of `xds_server.ext_proc.multipart`.
"""

from __future__ import annotations

import string
from collections.abc import Iterator

SPACES = b" \t"
WHITE = frozenset(b" \t\n\v\f\r")
BOUNDARY_CHARACTERS = frozenset((string.ascii_letters + string.digits + "'()+_,-./:=? ").encode())


class NoFormError(Exception):
    """The bytes are no form by the rule."""


def demand(condition: object) -> None:
    if not condition:
        raise NoFormError


def is_form(content_type: bytes) -> bool:
    return content_type.split(b";")[0].strip(SPACES).lower() == b"multipart/form-data"


def models(body: bytes, content_type: bytes) -> Iterator[str]:
    """Yield the values of the parts `model`; raise NoFormError if *body* is no form."""
    edge = b"\r\n--" + boundary(content_type)
    # A line break put before it makes the first delimiter like the others.
    _, found, rest = (b"\r\n" + body).partition(edge)
    demand(found)
    parts = 0
    while not rest.startswith(b"--"):
        demand(rest.startswith(b"\r\n"))
        content, found, rest = rest.partition(edge)
        # The break behind the delimiter is the part's, even if the next delimiter begins with it.
        demand(found)
        demand(content)
        parts += 1
        demand(parts <= 1000)
        yield from part(content.removeprefix(b"\r\n"))
    demand(rest == b"--" or rest.startswith(b"--\r\n"))


def boundary(content_type: bytes) -> bytes:
    found = parameters(content_type)
    demand(b"boundary" in found)
    demand(not any(name.startswith(b"boundary*") for name in found))
    value = found[b"boundary"]
    demand(1 <= len(value) <= 70)
    demand(BOUNDARY_CHARACTERS.issuperset(value))
    demand(not value.endswith(b" "))
    return value


def part(content: bytes) -> Iterator[str]:
    """Yield the value of one part, if it is a model's."""
    headers, found, value = content.partition(b"\r\n\r\n")
    demand(found)
    demand(len(headers) <= 8192)
    told: dict[bytes, bytes] = {}
    for line in headers.split(b"\r\n"):
        name, colon, text = line.partition(b":")
        demand(colon and name and all(0x21 <= byte <= 0x7E for byte in name))
        demand(not set(text) & set(b"\r\n\0"))
        if name.lower() in {b"content-disposition", b"content-transfer-encoding"}:
            demand(name.lower() not in told)
            told[name.lower()] = text.strip(SPACES)
    disposition = told.get(b"content-disposition", b"")
    demand(disposition.split(b";")[0].strip(SPACES).lower() == b"form-data")
    found_parameters = parameters(disposition)
    demand(b"name" in found_parameters)
    demand(not any(name.startswith(b"name*") for name in found_parameters))
    is_file = any(name == b"filename" or name[:9] == b"filename*" for name in found_parameters)
    if found_parameters[b"name"] != b"model" or is_file:
        return
    encoding = told.get(b"content-transfer-encoding")
    demand(encoding is None or encoding.lower() in {b"7bit", b"8bit", b"binary"})
    try:
        yield value.decode("utf-8")
    except UnicodeDecodeError:
        raise NoFormError from None


def parameters(text: bytes) -> dict[bytes, bytes]:
    """Return the parameters behind the first semicolon of *text*."""
    _, semicolon, rest = text.partition(b";")
    found: dict[bytes, bytes] = {}
    while semicolon:
        rest = rest.lstrip(SPACES)
        if rest and not rest.startswith(b";"):
            name, equals, rest = rest.partition(b"=")
            demand(equals and name and not (WHITE | set(b';"')) & set(name))
            demand(name.lower() not in found)
            found[name.lower()], rest = parameter_value(rest)
        rest = rest.lstrip(SPACES)
        semicolon, rest = rest[:1], rest[1:]
        demand(semicolon in {b"", b";"})
    return found


def parameter_value(text: bytes) -> tuple[bytes, bytes]:
    """Return the value at the start of *text*, and what is left."""
    if not text.startswith(b'"'):
        end = next((at for at, byte in enumerate(text) if byte in WHITE | set(b';"')), len(text))
        demand(end)
        return text[:end], text[end:]
    value, at = bytearray(), 1
    while text[at : at + 1] != b'"':
        demand(at < len(text))
        if text[at : at + 1] == b"\\":
            demand(at + 1 < len(text))
            value += text[at + 1 : at + 2] if text[at + 1] in b'"\\' else text[at : at + 2]
            at += 2
        else:
            value += text[at : at + 1]
            at += 1
    return bytes(value), text[at + 1 :]
