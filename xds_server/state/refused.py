"""What Envoys have refused, and what is served in place of it, as one file.

Resources are stored as they were encoded, but for secrets: none is, and what needs an older one is
not served after a restart. See `cuts.py` for the digests of clients' keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple
from typing import Any

from snapshots.material import Source, SourceKind
from snapshots.snapshot import Resource, content_version
from snapshots.type_urls import LISTENER, ROUTE, SECRET, TypeUrl
from xds_server.protocol.fallback import RefusalKey
from xds_server.protocol.quarantine import Quarantined
from xds_server.refusals import KeptRefusals, RefusedContent, Words
from xds_server.state.cuts import CannotHideError, Confidential, Hole, cut_digests, fill
from xds_server.state.envelope import DamagedError, Header
from xds_server.state.stored import Sources

KIND = "refusals"

MAX_REFUSED = 10_000
"""Contents that are stored as refused; the newest."""
MAX_BYTES = 64 * 1024 * 1024
"""Of resources that are served in place of them: what comes after that is not stored."""


def to_store(
    kept: KeptRefusals, registry: str, confidential: Confidential, salt: bytes
) -> tuple[dict[str, Any], list[bytes]]:
    """Return header and content of the file for *kept*, which Envoys refused of *registry*."""
    rows: list[list[Any]] = []
    hidden: dict[int, tuple[Hole, ...]] = {}
    bodies: list[bytes] = []
    indices: dict[RefusalKey, int] = {}
    accepted: dict[str, list[int]] = {}
    for gateway, resource in _bounded(kept.quarantined.accepted):
        key = (resource.type_url, resource.name, resource.version)
        if key not in indices:
            try:
                body, holes = _cut(resource, confidential, salt)
            except CannotHideError:
                continue
            indices[key] = len(rows)
            if holes:
                hidden[len(rows)] = holes
            rows.append([*key, resource.origin, len(body)])
            bodies.append(body)
        accepted.setdefault(gateway, []).append(indices[key])
    refused = [[*key, sorted(by)] for key, by in kept.quarantined.refused.items()]
    header = {
        "registry": registry,
        "salt": salt.hex(),
        "key_sources": [[s.kind, s.name] for s in confidential.key_sources],
        "refused": refused[-MAX_REFUSED:],
        "contents": [_row(content) for content in kept.contents],
        "accepted": accepted,
        "resources": rows,
        "holes": hidden,
    }
    return header, bodies


def from_store(
    header: Header, content: memoryview, reveal: Callable[[Sources], Mapping[str, bytes]]
) -> KeptRefusals:
    """Return what was stored, but for what holds digests that are nowhere any more.

    Raises DamagedError.
    """
    try:
        return _from_store(header, content, reveal)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # The checksum is right, so it was written so: by a version that meant something else.
        raise DamagedError(f"it is not understood ({type(error).__name__}: {error})") from error


def key_sources(header: Header) -> tuple[Source, ...]:
    """Return where the keys of clients were kept when it was stored."""
    return tuple(_source(*row) for row in header["key_sources"])


def _from_store(
    header: Header, content: memoryview, reveal: Callable[[Sources], Mapping[str, bytes]]
) -> KeptRefusals:
    sources = Sources((), key_sources(header), bytes.fromhex(header["salt"]))
    values = reveal(sources) if header["holes"] else {}
    resources = list(_read(header, content, values))
    accepted = {
        gateway: tuple(r for index in indices if (r := resources[index]) is not None)
        for gateway, indices in header["accepted"].items()
    }
    refused = {
        (TypeUrl(url), str(name), str(version)): frozenset(map(str, by))
        for url, name, version, by in header["refused"]
    }
    contents = tuple(_content(*row) for row in header["contents"])
    known = tuple(content for content in contents if content.key in refused)
    return KeptRefusals(known, Quarantined(refused, accepted))


def _bounded(accepted: Mapping[str, Iterable[Resource]]) -> Iterator[tuple[str, Resource]]:
    left = MAX_BYTES
    for gateway, resources in accepted.items():
        for resource in resources:
            left -= len(resource.body)
            if left < 0:
                return
            if resource.type_url != SECRET:
                yield gateway, resource


def _cut(
    resource: Resource, confidential: Confidential, salt: bytes
) -> tuple[bytes, tuple[Hole, ...]]:
    # The routes of a model come from an entry of the registry, and do not hold digests.
    if resource.type_url == LISTENER or (resource.type_url == ROUTE and not resource.origin):
        return cut_digests(resource.body, confidential.digests, salt)
    return resource.body, ()


def _read(
    header: Header, content: memoryview, values: Mapping[str, bytes]
) -> Iterator[Resource | None]:
    at = 0
    for index, (url, name, version, origin, length) in enumerate(header["resources"]):
        body: bytes | None = bytes(content[at : at + length])
        at += length
        if holes := header["holes"].get(str(index)):
            body = fill(body or b"", holes, values)
        if body is not None and content_version((name.encode(), body)) == version:
            yield Resource(TypeUrl(url), name, body, version, tuple(origin))
        else:
            yield None


def _row(content: RefusedContent) -> list[Any]:
    by = [astuple(words) for words in content.by.values()]
    return [*content.key, content.origin, content.place, by]


def _content(  # noqa: PLR0913, PLR0917 - a row
    url: str, name: str, version: str, origin: list[str], place: str, by: list[list[str]]
) -> RefusedContent:
    words = [Words(*map(str, each)) for each in by]
    key = (TypeUrl(url), name, version)
    return RefusedContent(key, tuple(origin), place, {each.node_id: each for each in words})


def _source(kind: SourceKind, name: str) -> Source:
    return Source(kind, name)
