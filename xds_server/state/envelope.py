"""The form of every file in the state directory: what it is, what it says, and a checksum.

```text
modelyard <kind> <format>, and the end of that line
length of the header, length of the rest
header (JSON)
rest
SHA-256 of all before
```

A file that was cut, lengthened or changed anywhere is told from a good one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from mmap import mmap
from typing import Any, BinaryIO

FORMAT = 1
LENGTH_BYTES = 8
CHECKSUM_BYTES = 32

Header = Mapping[str, Any]


class DamagedError(Exception):
    """A file is not what was once written; the message tells what is wrong, not in which file."""


def write_envelope(file: BinaryIO, kind: str, header: Header, rest: Sequence[bytes]) -> None:
    """Write *header* and *rest* to *file*; raises OSError."""
    encoded = json.dumps(header, separators=(",", ":")).encode()
    lengths = (len(encoded), sum(map(len, rest)))
    digest = hashlib.sha256()
    for part in (_magic(kind), *(n.to_bytes(LENGTH_BYTES, "big") for n in lengths), encoded, *rest):
        digest.update(part)
        file.write(part)
    file.write(digest.digest())


def read_envelope(data: bytes | mmap, kind: str) -> tuple[Header, memoryview]:
    """Return header and rest of *data*; raises `DamagedError`."""
    magic = _magic(kind)
    start = len(magic) + 2 * LENGTH_BYTES
    if data[: len(magic)] != magic:
        raise DamagedError(_no_magic(bytes(data[:80]), kind))
    lengths = data[len(magic) : start]
    header_end = start + int.from_bytes(lengths[:LENGTH_BYTES], "big")
    end = header_end + int.from_bytes(lengths[LENGTH_BYTES:], "big")
    if len(lengths) < 2 * LENGTH_BYTES or len(data) != end + CHECKSUM_BYTES:
        raise DamagedError("it is cut short, or something follows it")
    view = memoryview(data)
    if hashlib.sha256(view[:end]).digest() != view[end:]:
        raise DamagedError("its checksum is wrong")
    try:
        header = json.loads(bytes(view[start:header_end]))
    except ValueError as error:
        raise DamagedError("its header cannot be read") from error
    return header, view[header_end:end]


def _magic(kind: str) -> bytes:
    return f"modelyard {kind} {FORMAT}\n".encode()


def _no_magic(start: bytes, kind: str) -> str:
    words = start.partition(b"\n")[0].split(b" ")
    if words[:2] == [b"modelyard", kind.encode()] and len(words) == 3 and words[2].isdigit():  # noqa: PLR2004
        return f"it has format {words[2].decode()}, and this version reads format {FORMAT}"
    return f"it is no {kind} of Modelyard, or its beginning is damaged"
