"""An immutable set of encoded resources whose versions are hashes of their content.

Does not know how a resource is built, nor who receives it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from snapshots.node_selector import ANY, NO_METADATA, NodeSelector
from snapshots.type_urls import PUSH_ORDER, TypeUrl

VERSION_LENGTH = 16
"""Hexadecimal digits kept of a SHA-256."""


def content_version(parts: Iterable[bytes]) -> str:
    """Return the version of some content: the head of the SHA-256 over *parts*, each delimited."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:VERSION_LENGTH]


@dataclass(frozen=True, slots=True)
class Resource:
    """One encoded xDS resource."""

    type_url: TypeUrl
    name: str
    body: bytes
    """The serialised message: what goes into `Any.value`."""
    version: str
    """Hash of name and body."""
    origin: tuple[str, ...] = field(default=(), compare=False)
    """The registry entry it comes from, such as `("pools", "llama-1b")`; empty if built in."""
    undrained: Resource | None = field(default=None, compare=False, repr=False)
    """Of a load assignment of which no server gets new requests: what a client is told in its place
    as long as it may have routes that lead there."""

    @classmethod
    def of(cls, type_url: TypeUrl, name: str, body: bytes, origin: tuple[str, ...] = ()) -> Self:
        """Return the resource of these bytes, with its version."""
        return cls(type_url, name, body, content_version((name.encode(), body)), origin)


@dataclass(frozen=True, slots=True)
class TypeSnapshot:
    """All resources of one type for one group of nodes."""

    resources: Mapping[str, Resource]
    version: str
    """Hash of all names and versions; the `version_info` of state-of-the-world responses."""

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Self:
        """Return the snapshot of *resources*; their order does not matter."""
        by_name = {r.name: r for r in sorted(resources, key=lambda r: r.name)}
        parts = (part.encode() for r in by_name.values() for part in (r.name, r.version))
        return cls(MappingProxyType(by_name), content_version(parts))


@dataclass(frozen=True, slots=True)
class NodeSnapshot:
    """Everything that the Envoys of one gateway are told; holds every type of `PUSH_ORDER`."""

    gateway: str
    types: Mapping[TypeUrl, TypeSnapshot]
    version: str
    """Hash of all type versions."""

    @classmethod
    def of(cls, gateway: str, types: Mapping[TypeUrl, TypeSnapshot]) -> Self:
        """Return the snapshot of one gateway; a type that is absent is empty."""
        complete = {url: types.get(url) or TypeSnapshot.of(()) for url in PUSH_ORDER}
        version = content_version(complete[url].version.encode() for url in PUSH_ORDER)
        return cls(gateway, MappingProxyType(complete), version)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the whole fleet is told at one moment."""

    nodes: Mapping[str, NodeSnapshot]
    """By the key of the group: `node.cluster`, or "*" for every Envoy of no other group, or the
    key of one of `selectors`."""
    revision: str
    """Hash over everything: equal registries give equal revisions on every replica."""
    selectors: tuple[NodeSelector, ...] = ()
    """Of the groups for which `node.cluster` does not decide alone; no Envoy belongs to two."""

    @classmethod
    def of(cls, nodes: Mapping[str, NodeSnapshot], selectors: Iterable[NodeSelector] = ()) -> Self:
        """Return the snapshot of a fleet whose groups are *nodes*, by their keys."""
        parts = (
            part.encode()
            for cluster in sorted(nodes)
            for part in (cluster, nodes[cluster].gateway, nodes[cluster].version)
        )
        by_more = tuple(selector for selector in selectors if not selector.is_by_cluster)
        return cls(MappingProxyType(dict(nodes)), content_version(parts), by_more)

    def with_nodes(self, nodes: Mapping[str, NodeSnapshot]) -> Snapshot:
        """Return the snapshot of the same groups that are told what *nodes* say instead."""
        return Snapshot.of(nodes, self.selectors)

    def for_node(
        self, cluster: str, node_id: str = "", metadata: Mapping[str, str] = NO_METADATA
    ) -> NodeSnapshot:
        """Return what an Envoy is told; empty if no gateway wants it."""
        for selector in self.selectors:
            if selector.matches(cluster, node_id, metadata):
                return self.nodes[selector.key]
        return self.nodes.get(cluster) or self.nodes.get(ANY) or NO_GATEWAY


NO_GATEWAY = NodeSnapshot.of("", {})
"""What a node is told that no gateway matches: empty answers, so that it does not hang."""
