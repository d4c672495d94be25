"""What Envoys were told last, as one file: the snapshot, and the registry that it came from.

Resources are stored as they were encoded, so that reading them back builds nothing. A snapshot is
given back only if its revision, which is the hash of all of it, is the one that was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from snapshots.material import Source, SourceKind
from snapshots.node_selector import NodeSelector
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot, content_version
from snapshots.type_urls import LISTENER, ROUTE, SECRET, TypeUrl
from xds_server.state.cuts import Confidential, Hole, cut_contents, cut_digests, fill
from xds_server.state.envelope import DamagedError, Header

KIND = "snapshot"


@dataclass(frozen=True, slots=True)
class Kept:
    """One moment of a control plane."""

    registry: str
    """Path of the registry file."""
    text: bytes
    """Its content."""
    models: int
    loaded_at: datetime
    snapshot: Snapshot
    """What Envoys are told, be it a step towards what the text asks for."""
    revision: str
    """Of what the text asks for."""
    is_news: bool
    """Whether the text is one for the history."""
    confidential: Confidential


@dataclass(frozen=True, slots=True)
class Restored:
    """What could be read back of a `Kept`."""

    text: bytes
    models: int
    loaded_at: datetime
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the secrets of a stored snapshot are kept."""

    contents: tuple[Source, ...]
    keys: tuple[Source, ...]
    salt: bytes


class SecretsChangedError(Exception):
    """A secret is no longer what it was when the snapshot was stored."""


Reveal = Callable[[Sources], Mapping[str, bytes]]
"""Reads secrets and returns them by reference."""


def to_store(kept: Kept, salt: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return header and content of the file for *kept*; raises CannotHideError."""
    resources: dict[tuple[TypeUrl, str, str], int] = {}
    rows: list[list[Any]] = []
    hidden: dict[int, tuple[Hole, ...]] = {}
    text, text_holes = cut_digests(kept.text, kept.confidential.digests, salt)
    bodies = [text]
    for resource in _resources(kept.snapshot):
        key = (resource.type_url, resource.name, resource.version)
        if key in resources:
            continue
        index = resources[key] = len(rows)
        body, holes = _cut(resource, kept.confidential, salt)
        if holes:
            hidden[index] = holes
        rows.append([*key, resource.origin, len(body)])
        bodies.append(body)
    header = {
        "registry": kept.registry,
        "models": kept.models,
        "loaded_at": kept.loaded_at.isoformat(),
        "revision": kept.snapshot.revision,
        "salt": salt.hex(),
        "text": [len(text), hashlib.sha256(kept.text).hexdigest(), text_holes],
        "sources": [[s.kind, s.name] for s in kept.confidential.contents],
        "key_sources": [[s.kind, s.name] for s in kept.confidential.key_sources],
        "nodes": {
            cluster: [node.gateway, _indices(node, resources)]
            for cluster, node in kept.snapshot.nodes.items()
        },
        "selectors": [[s.cluster, s.node_id, s.metadata] for s in kept.snapshot.selectors],
        "resources": rows,
        "holes": hidden,
    }
    return header, bodies


def from_store(header: Header, content: memoryview, reveal: Reveal) -> Restored:
    """Return what was stored; raises DamagedError or SecretsChangedError."""
    try:
        return _from_store(header, content, reveal)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # The checksum is right, so it was written so: by a version that meant something else.
        raise DamagedError(f"it is not understood ({type(error).__name__}: {error})") from error


def _from_store(header: Header, content: memoryview, reveal: Reveal) -> Restored:
    sources = Sources(
        tuple(_source(*row) for row in header["sources"]),
        tuple(_source(*row) for row in header["key_sources"]),
        bytes.fromhex(header["salt"]),
    )
    has_holes = header["holes"] or header["text"][2]
    values = reveal(sources) if has_holes else {}
    length, digest, holes = header["text"]
    text = fill(bytes(content[:length]), holes, values)
    if text is None or hashlib.sha256(text).hexdigest() != digest:
        raise SecretsChangedError
    resources = list(_read(header, content[length:], values))
    nodes = {}
    for cluster, (gateway, of_types) in header["nodes"].items():
        types = {
            TypeUrl(url): TypeSnapshot.of([resources[index] for index in indices])
            for url, indices in of_types.items()
        }
        nodes[cluster] = NodeSnapshot.of(gateway, types)
    snapshot = Snapshot.of(nodes, (_selector(*row) for row in header["selectors"]))
    if snapshot.revision != header["revision"]:
        raise DamagedError("its revision is not that of its content")
    at = datetime.fromisoformat(header["loaded_at"])
    return Restored(text, int(header["models"]), at, snapshot)


def _read(header: Header, content: memoryview, values: Mapping[str, bytes]) -> Iterator[Resource]:
    hidden: Mapping[str, Iterable[Hole]] = header["holes"]
    at = 0
    for index, (url, name, version, origin, length) in enumerate(header["resources"]):
        body = bytes(content[at : at + length])
        at += length
        holes = hidden.get(str(index))
        if holes:
            body = fill(body, holes, values) or b""
            if content_version((name.encode(), body)) != version:
                raise SecretsChangedError
        yield Resource(TypeUrl(url), name, body, version, tuple(origin))


def _source(kind: SourceKind, name: str) -> Source:
    return Source(kind, name)


def _selector(cluster: str, node_id: str, metadata: list[list[str]]) -> NodeSelector:
    return NodeSelector(cluster, node_id, tuple((key, value) for key, value in metadata))


def _resources(snapshot: Snapshot) -> Iterator[Resource]:
    for node in snapshot.nodes.values():
        for of_type in node.types.values():
            yield from of_type.resources.values()


def _indices(
    node: NodeSnapshot, resources: Mapping[tuple[TypeUrl, str, str], int]
) -> dict[str, list[int]]:
    return {
        url: [resources[url, r.name, r.version] for r in of_type.resources.values()]
        for url, of_type in node.types.items()
    }


def _cut(
    resource: Resource, confidential: Confidential, salt: bytes
) -> tuple[bytes, tuple[Hole, ...]]:
    if resource.type_url == SECRET:
        return cut_contents(resource.body, confidential.contents)
    # The routes of a model come from an entry of the registry, and do not hold digests.
    may_hold = resource.type_url == LISTENER or (resource.type_url == ROUTE and not resource.origin)
    if confidential.digests and may_hold:
        return cut_digests(resource.body, confidential.digests, salt)
    return resource.body, ()
