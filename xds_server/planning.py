"""What an edit would do, before it is done: in the words of the file, and in what Envoys are sent.

Needs no contents of secrets: something of the same length stands for keys, and what Envoys are told
of certificates is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from snapshots.build import SnapshotBuilder
from snapshots.diff import diff
from snapshots.leaving import leaving, stages
from snapshots.node_selector import ANY, NodeSelector
from snapshots.registry.comparison import EntryChange, What, compare
from snapshots.registry.public_form import stand_ins
from snapshots.registry.schema import Registry
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot, Snapshot
from snapshots.type_urls import ENDPOINT, LISTENER, SECRET
from snapshots.warm_up import keep_replaced_servers
from xds_server.rehearsal import Traffic, rehearse

SECRETS_NOT_READ = (
    "contents of secrets are not read: whether one has changed is not told, nor its bytes"
)
OTHER_BUILD = (
    "the control plane builds other resources of its registry than this version of modelyard: "
    "resources and bytes are those of this one"
)


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource that differs."""

    type: str
    """The last part of its type URL, such as `Cluster`."""
    name: str
    what: What
    body_bytes: int
    """Of its new content; 0 if it was removed."""


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What one group of Envoys is sent."""

    nodes: NodeSelector
    """Whose `node.cluster`, `node.id` and metadata are these."""
    gateway: str
    """What it gets; empty: nothing any more."""
    resources: tuple[ResourceChange, ...]
    unchanged: int
    """How many resources stay as they are."""
    traffic: dict[str, Traffic]
    """What each Envoy of the group is sent, by variant: `delta` and `sotw`."""
    listener_changes: bool
    """Whether a listener that is there is changed or removed, so that its connections end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an edit does."""

    entries: tuple[EntryChange, ...]
    groups: tuple[GroupPlan, ...]
    """Those that are sent anything."""
    two_steps: tuple[str, ...]
    """Pools that get nothing but new servers: the old ones stay until the new ones are healthy."""
    revision: str
    """Of the old registry, if nothing in it is a secret."""
    notes: tuple[str, ...] = field(default=())
    drained: tuple[str, ...] = field(default=())
    """Pools, and servers of pools, that leave and are kept while they are at work for requests."""
    drain_s: float = 0.0
    """How long, at most."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not self.entries and not self.groups


def plan(old: Registry, new: Registry) -> Plan:
    """Return what an edit from *old* to *new* does."""
    builder = SnapshotBuilder()
    before = builder.build(old, stand_ins(old))
    after = builder.build(new, stand_ins(new))
    keys = sorted({*before.nodes, *after.nodes})
    steps = stages(before, after) if new.drain else (after,)
    sides = ((key, _told(before, key), [_told(step, key) for step in steps]) for key in keys)
    groups = [_group(*side) for side in sides if side[1].version != side[2][-1].version]
    has_secrets = any(n.types[SECRET].resources for s in (before, after) for n in s.nodes.values())
    return Plan(
        compare(old, new),
        tuple(groups),
        tuple(_replaced(before, after)),
        before.revision,
        (SECRETS_NOT_READ,) if has_secrets else (),
        tuple(dict.fromkeys(item.title for item in leaving(before, after))) if new.drain else (),
        new.drain.total_seconds(),
    )


def _told(snapshot: Snapshot, key: str) -> NodeSnapshot:
    """Return what a group is told, which may not be a group of its own there."""
    own = snapshot.nodes.get(key)
    by_cluster = snapshot.nodes.get(NodeSelector.of_key(key).cluster)
    return own or by_cluster or snapshot.nodes.get(ANY) or NO_GATEWAY


def _group(key: str, old: NodeSnapshot, stages: Sequence[NodeSnapshot]) -> GroupPlan:
    new = stages[-1]
    resources = tuple(_resource_changes(old, new))
    total = sum(len(of_type.resources) for of_type in new.types.values())
    url = LISTENER.rpartition(".")[2]
    return GroupPlan(
        nodes=NodeSelector.of_key(key),
        gateway=new.gateway,
        resources=resources,
        unchanged=total - sum(change.what != "removed" for change in resources),
        traffic=rehearse(old, *stages),
        listener_changes=any(c.type == url and c.what != "added" for c in resources),
    )


def _resource_changes(old: NodeSnapshot, new: NodeSnapshot) -> Iterator[ResourceChange]:
    for type_url, difference in diff(old, new).items():
        kind, now = type_url.rpartition(".")[2], new.types[type_url].resources
        for name in difference.added:
            yield ResourceChange(kind, name, "added", len(now[name].body))
        for name in difference.changed:
            yield ResourceChange(kind, name, "changed", len(now[name].body))
        for name in difference.removed:
            yield ResourceChange(kind, name, "removed", 0)


def _replaced(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yield the pools that get nothing but new servers."""
    step = keep_replaced_servers(before, after)
    if step is None:
        return
    for node_cluster, node in step.snapshot.nodes.items():
        goal = after.nodes[node_cluster].types[ENDPOINT].resources
        for name, resource in node.types[ENDPOINT].resources.items():
            if resource.version != goal[name].version:
                yield name.partition("/")[2]
