"""Taking secrets out of what is stored, and putting them back from where they are kept.

What is cut out leaves a hole that tells where its content comes from: a file or variable that the
registry names, or a SHA-256 (of a client's key) that the registry or such a file still gives. Of
digests a salted hash is kept, which recognises them and does not tell them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from snapshots.material import Source

SALTED_LENGTH = 32
DIGEST = re.compile(rb"[0-9a-f]{64}")
"""A SHA-256 as the registry and Envoy's configuration write it."""

Hole = tuple[int, str]
"""Where it is in what is left, and what it was, as a reference."""


@dataclass(frozen=True, slots=True)
class Confidential:
    """What must not be stored; not shown by `repr`."""

    contents: Mapping[Source, bytes] = field(default_factory=dict, repr=False)
    """Of files and variables that Envoys get over SDS."""
    key_sources: tuple[Source, ...] = ()
    """Where keys of clients are kept."""
    digests: frozenset[bytes] = field(default=frozenset(), repr=False)
    """Of the keys of clients, in hexadecimal digits."""
    inline: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Those of them that the registry itself holds, by client."""


class CannotHideError(Exception):
    """Something confidential stands where it cannot be cut out."""


def reference_to(source: Source) -> str:
    """Return what stands for the content of *source*."""
    return f"{source.kind}:{source.name}"


def reference_to_digest(digest: bytes, salt: bytes) -> str:
    """Return what stands for *digest*."""
    return "digest:" + hashlib.sha256(salt + digest).hexdigest()[:SALTED_LENGTH]


def digests_in(text: bytes) -> Iterator[bytes]:
    """Yield whatever looks like a digest in *text*."""
    yield from DIGEST.findall(text)


def cut_digests(
    data: bytes, digests: Collection[bytes], salt: bytes
) -> tuple[bytes, tuple[Hole, ...]]:
    """Return *data* without anything that looks like a digest; raises CannotHideError.

    None of *digests* may be left, however it is written.
    """
    spans = [(found.start(), found.end()) for found in DIGEST.finditer(data)]
    left, holes = _cut(data, ((a, b, reference_to_digest(data[a:b], salt)) for a, b in spans))
    lowered = left.lower()
    if any(digest in lowered for digest in digests):
        raise CannotHideError("a digest of a client's key")
    return left, holes


def cut_contents(body: bytes, contents: Mapping[Source, bytes]) -> tuple[bytes, tuple[Hole, ...]]:
    """Return *body*, which is a secret, without *contents*; raises CannotHideError."""
    spans: list[tuple[int, int, str]] = []
    for source in sorted(contents, key=lambda source: -len(contents[source])):
        content = contents[source]
        at = body.find(content) if content else -1
        while at >= 0:
            end = at + len(content)
            if all(end <= a or b <= at for a, b, _ in spans):
                spans.append((at, end, reference_to(source)))
            at = body.find(content, end)
    if not spans:
        raise CannotHideError("a secret that no source holds")
    return _cut(body, sorted(spans))


def _cut(data: bytes, spans: Iterable[tuple[int, int, str]]) -> tuple[bytes, tuple[Hole, ...]]:
    left: list[bytes] = []
    holes: list[Hole] = []
    length = done = 0
    for start, end, reference in spans:
        left.append(data[done:start])
        length += start - done
        holes.append((length, reference))
        done = end
    return b"".join((*left, data[done:])), tuple(holes)


def fill(left: bytes, holes: Iterable[Hole], values: Mapping[str, bytes]) -> bytes | None:
    """Return what was cut, with *values* by reference; None if one is missing."""
    holes = tuple(holes)
    if any(reference not in values for _, reference in holes):
        return None
    edges = (0, *(at for at, _ in holes), len(left))
    pieces = [left[a:b] for a, b in pairwise(edges)]
    filled = [pieces[0]]
    for (_, reference), piece in zip(holes, pieces[1:], strict=True):
        filled += (values[reference], piece)
    return b"".join(filled)
