r"""Which models a form names: the values of its parts `model` (`multipart/form-data`, RFC 7578).

Transcriptions come as such a form. It is read by one strict rule, which the native extraction
follows as well, so that no two readers of the same bytes find different parts in them. Whatever
the rule does not allow is refused.

1. A body is a form if its content-type, up to the first `;`, less spaces and tabs around it and
   whatever its case, is `multipart/form-data`.
2. Parameters follow, there as in a Content-Disposition: each is a `;`, then `name=value` or
   nothing, with spaces and tabs around. A name has no white space, `;`, `=` or `"`, and its case
   does not matter. A value stands in double quotes, where `\"` and `\\` mean their second
   character and any other backslash itself; or it has one byte or more, and no white space, `;` or
   `"`. A name given twice is refused; so is, where `x` is asked for, one that begins with `x*`.
3. `boundary` is 1 to 70 letters, digits, spaces or `'()+_,-./:=?`, the last one not a space.
4. A delimiter is CRLF, `--` and the boundary; at the start of the body it needs no CRLF. What
   precedes the first is skipped. CRLF must follow, and then a part up to the next delimiter; or
   `--`, and then the end of the body or CRLF and whatever else. Between two delimiters stands a
   part: one may not begin with the CRLF that follows another. There are at most 1,000 parts.
5. A part is headers of at most 8,192 bytes, an empty line, and content. Lines end with CRLF and
   hold no other CR or LF, and no zero byte. Each is a name of visible ASCII without `:`, then `:`,
   and a value with spaces and tabs around.
6. Each part has one Content-Disposition: `form-data` in any case, and a parameter `name`. If that
   is `model` and there is neither `filename` nor one that begins with `filename*`, then the
   content is a value. It is UTF-8, taken as it is; the part may have a Content-Transfer-Encoding
   only of `7bit`, `8bit` or `binary`, in any case. No part has two of those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xds_server.ext_proc.errors import ModelNameError

MEDIA_TYPE = b"multipart/form-data"
MAX_PARTS = 1000
MAX_PART_HEADER_BYTES = 8192

_CRLF = b"\r\n"
_BLANKS = b" \t"
_DISPOSITION = b"content-disposition"
_TRANSFER_ENCODING = b"content-transfer-encoding"
_TOLD = frozenset({_DISPOSITION, _TRANSFER_ENCODING})
_PLAIN_ENCODINGS = frozenset({b"7bit", b"8bit", b"binary"})

# Possessive throughout: a match that fails takes no more time than one that does not.
_PARAMETER = re.compile(
    rb'(?:;[ \t]*+)++(?:([^\s;="]++)=(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]++)))?+[ \t]*+', re.DOTALL
)
_ESCAPED = re.compile(rb'\\(["\\])')
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_HEADER = re.compile(rb"([!-9;-~]++):([^\r\n\0]*+)")


def is_form(content_type: bytes) -> bool:
    """Tell whether a body of this type is a form; anything else is read as JSON."""
    return content_type.partition(b";")[0].strip(_BLANKS).lower() == MEDIA_TYPE


def shortest(content_type: bytes) -> bytes:
    """Return a content-type of at most 102 bytes that is read, or refused, as *content_type* is."""
    if not is_form(content_type):
        return b""
    try:
        boundary = _boundary(content_type)
    except ModelNameError:
        return MEDIA_TYPE + b";="
    return MEDIA_TYPE + b'; boundary="' + boundary + b'"'


def form_models(body: bytes, content_type: bytes) -> list[str]:
    """Return the values of all parts `model` of the form *body*, in their order.

    Raises ModelNameError `invalid_multipart` if *body* is not a form by the rule above.
    """
    delimiter = _CRLF + b"--" + _boundary(content_type)
    models = []
    for start, end in _parts(body, delimiter):
        headers = body.find(b"\r\n\r\n", start, min(end, start + MAX_PART_HEADER_BYTES + 4))
        if headers < 0:
            raise _invalid("the headers of a part do not end, or are too long")
        if _is_model(body[start:headers]):
            models.append(_text(body[headers + 4 : end]))
    return models


def _boundary(content_type: bytes) -> bytes:
    boundary = _parameters(content_type, b"boundary").get(b"boundary")
    if boundary is None:
        raise _invalid("its content-type has no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise _invalid("its content-type has a boundary that none may have")
    return boundary


def _parts(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each part begins and ends, and see that the form ends as it must."""
    # The first delimiter may do without its line break.
    at = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    if at == -1:
        raise _invalid("it has no delimiter")
    for _ in range(MAX_PARTS + 1):
        start = at + len(delimiter) + 2
        follows = body[start - 2 : start]
        if follows == b"--":
            if body[start : start + 2] not in {b"", _CRLF}:
                raise _invalid("its last delimiter has more behind it")
            return
        if follows != _CRLF:
            raise _invalid("a delimiter has more behind it, or is cut short")
        # From the line break that ends this one: the next may not begin with it.
        at = body.find(delimiter, start - 2)
        if at < start:
            raise _invalid("a part has no delimiter at its end, or is none")
        yield start, at
    raise _invalid(f"it has more than {MAX_PARTS:,} parts")


def _is_model(lines: bytes) -> bool:
    """Tell whether the content behind these header *lines* is a model's name."""
    headers = _headers(lines)
    parameters = _disposition(headers.get(_DISPOSITION))
    if parameters[b"name"] != b"model" or _is_file(parameters):
        return False
    if headers.get(_TRANSFER_ENCODING, b"binary").lower() not in _PLAIN_ENCODINGS:
        raise _invalid('the part "model" has a Content-Transfer-Encoding')
    return True


def _headers(lines: bytes) -> Mapping[bytes, bytes]:
    """Return those headers of a part that say what it is, by name in lower case."""
    found: dict[bytes, bytes] = {}
    for line in lines.split(_CRLF):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _invalid("a part has a malformed header")
        name = header[1].lower()
        if name in _TOLD:
            if name in found:
                raise _invalid("a part has a header twice")
            found[name] = header[2].strip(_BLANKS)
    return found


def _disposition(value: bytes | None) -> Mapping[bytes, bytes]:
    """Return the parameters of a Content-Disposition; a `name` is among them."""
    if value is None or value.partition(b";")[0].rstrip(_BLANKS).lower() != b"form-data":
        raise _invalid("a part has no Content-Disposition of form-data")
    parameters = _parameters(value, b"name")
    if b"name" not in parameters:
        raise _invalid("a part has no name")
    return parameters


def _is_file(parameters: Mapping[bytes, bytes]) -> bool:
    return any(name == b"filename" or name.startswith(b"filename*") for name in parameters)


def _parameters(text: bytes, wanted: bytes) -> Mapping[bytes, bytes]:
    """Return what follows the first `;` of *text*, by name in lower case."""
    found: dict[bytes, bytes] = {}
    at = text.find(b";")
    while 0 <= at < len(text):
        parameter = _PARAMETER.match(text, at)
        if parameter is None:
            raise _invalid(f"the parameters around its {wanted.decode()} are malformed")
        at = parameter.end()
        if parameter[1] is None:
            continue
        name = parameter[1].lower()
        if name in found or name.startswith(wanted + b"*"):
            raise _invalid(f"the parameters around its {wanted.decode()} are ambiguous")
        quoted = parameter[2]
        found[name] = parameter[3] if quoted is None else _ESCAPED.sub(rb"\1", quoted)
    return found


def _text(content: bytes) -> str:
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise _invalid('the part "model" is not UTF-8 text') from None


def _invalid(detail: str) -> ModelNameError:
    return ModelNameError("invalid_multipart", detail)
