"""What Envoys have refused: what each said of it, and what is served in place of it.

The decision what is served is the quarantine's (`xds_server.protocol`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import LISTENER
from xds_server.bell import Bell
from xds_server.protocol.fallback import RefusalKey, refusal_key
from xds_server.protocol.quarantine import Quarantine, Quarantined, has
from xds_server.store import Published, SnapshotStore

MAX_CONTENTS = 1_000
"""Refused contents of which it is known who refused them; the oldest are forgotten first."""
MAX_NODES = 100
"""Nodes that are remembered of each. Where more refuse it, it is kept from all of their version."""
MAX_WORDS = 2_000
"""Characters of what an Envoy said."""
MAX_NAME = 256
"""Characters of the id and of the version of a node that is remembered."""


@dataclass(frozen=True, slots=True)
class Words:
    """What one node said of one content."""

    node_id: str
    envoy_version: str
    error_detail: str
    at: str
    """When; ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class RefusedContent:
    """A resource that somebody refused, and who."""

    key: RefusalKey
    origin: tuple[str, ...] = ()
    place: str = ""
    """Where `origin` stood in the registry file when it was refused."""
    by: Mapping[str, Words] = field(default_factory=dict)
    """By node, oldest first."""


@dataclass(frozen=True, slots=True)
class KeptRefusals:
    """What is kept for the next process."""

    contents: tuple[RefusedContent, ...] = ()
    quarantined: Quarantined = field(default_factory=lambda: Quarantined({}, {}))


class Refusals:
    """What is refused, by all nodes together. For one event loop only."""

    def __init__(self) -> None:
        self.quarantine = Quarantine()
        self.changed = Bell()
        """Rings when there may be something else to keep for the next process."""
        self.serial = 0
        """Grows whenever `changed` rings."""
        self._contents: dict[RefusalKey, RefusedContent] = {}

    def note_change(self) -> None:
        """Record that the quarantine, or something else here, has changed."""
        self.serial += 1
        self.changed.ring()

    def refused(self, resource: Resource, words: Words, place: str) -> None:
        """Record that a node refused *resource*, which comes from *place* in the registry."""
        key = refusal_key(resource)
        known = self._contents.pop(key, None)
        content = known or RefusedContent(key, resource.origin, place)
        self._contents[key] = content
        if max(len(words.node_id), len(words.envoy_version)) <= MAX_NAME:
            by = {node_id: w for node_id, w in content.by.items() if node_id != words.node_id}
            by[words.node_id] = replace(words, error_detail=words.error_detail[:MAX_WORDS])
            if len(by) > MAX_NODES:
                del by[next(iter(by))]
            self._contents[key] = replace(content, by=by)
        if len(self._contents) > MAX_CONTENTS:
            del self._contents[next(iter(self._contents))]
        self.note_change()

    def taken(self, node_id: str, resources: tuple[Resource, ...]) -> None:
        """Record that a node took *resources*, of which it may have refused some before."""
        if self._contents:
            keys = [refusal_key(resource) for resource in resources]
            self._forgive(node_id, [key for key in keys if key in self._contents])

    def opened(self, node_id: str, envoy_version: str) -> None:
        """Record that a node has come: one of another version may take what it refused before."""
        self._forgive(
            node_id,
            [c.key for c, words in self.of(node_id) if words.envoy_version != envoy_version],
        )

    def of(self, node_id: str) -> Iterator[tuple[RefusedContent, Words]]:
        """Yield what a node refused, and its words, oldest first."""
        for content in self._contents.values():
            words = content.by.get(node_id)
            if words is not None:
                yield content, words

    def own(self, node_id: str, *, is_fresh: bool) -> frozenset[RefusalKey]:
        """Return what a node is not offered again; *is_fresh*: it has started since it refused.

        Whether a listener can be had depends on the host, such as on a port in use, so an Envoy
        that starts may try it.
        """
        keys = (content.key for content, _ in self.of(node_id))
        return frozenset(key for key in keys if not (is_fresh and key[0] == LISTENER))

    def standing(self, desired: NodeSnapshot, node_id: str) -> tuple[RefusedContent, Words] | None:
        """Return the newest content of *desired* that a node has refused."""
        for content in reversed(self._contents.values()):
            if node_id in content.by and has(desired, content.key):
                return content, content.by[node_id]
        return None

    def kept_from(
        self, desired: NodeSnapshot, envoy_version: str
    ) -> tuple[RefusedContent, Words] | None:
        """Return the newest content of *desired* that no Envoy of this version is given."""
        for content in reversed(self._contents.values()):
            is_kept = self.quarantine.is_kept_from(envoy_version, content.key)
            if is_kept and has(desired, content.key):
                words = [w for w in content.by.values() if w.envoy_version == envoy_version]
                if words:
                    return content, words[-1]
        return None

    def settle(self, published: Published) -> None:
        """Forget what nobody is to be told any more, now that the registry was read.

        While what was stored is served, the registry may hold what it has not.
        """
        if published.provisional or not (self._contents or self.quarantine.has_refused()):
            return
        told = (*published.snapshot.nodes.values(), *published.goal.nodes.values())
        refused = self.quarantine.settle(*told)
        self._contents = {k: content for k, content in self._contents.items() if k in refused}
        self.note_change()

    async def follow(self, store: SnapshotStore) -> None:
        """Settle with whatever *store* publishes, until cancelled."""
        serial = 0
        while True:
            published = await store.newer_than(serial)
            serial = published.serial
            self.settle(published)

    def kept(self) -> KeptRefusals:
        """Return what the next process needs to go on with."""
        return KeptRefusals(tuple(self._contents.values()), self.quarantine.kept())

    def restore(self, kept: KeptRefusals) -> None:
        """Go on with what the last process kept; before anything is served."""
        self._contents = {content.key: content for content in kept.contents}
        self.quarantine.restore(kept.quarantined)

    def _forgive(self, node_id: str, keys: list[RefusalKey]) -> None:
        for key in keys:
            content = self._contents[key]
            by = {other: words for other, words in content.by.items() if other != node_id}
            if by:
                self._contents[key] = replace(content, by=by)
            else:
                del self._contents[key]
        if keys:
            self.note_change()
