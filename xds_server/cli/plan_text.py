"""A plan as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from snapshots.node_selector import ANY, NodeSelector
from snapshots.registry.comparison import EntryChange, FieldChange
from xds_server.planning import GroupPlan, Plan, ResourceChange

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
SHOWN_RESOURCES = 20
"""Of each group; more are counted."""


def plan_lines(told: Plan) -> Iterator[str]:
    """Yield the lines that tell *told*."""
    if told.is_empty:
        yield "nothing changes"
    section = ""
    for entry in told.entries:
        if entry.section != section:
            section = entry.section
            yield section
        yield from _entry_lines(entry)
    if told.entries and not told.groups:
        yield "no Envoy is sent anything for it"
    for group in told.groups:
        yield from _group_lines(group)
    for pool in told.two_steps:
        yield (
            f"pool {pool} gets nothing but new servers: the old ones stay beside them until the "
            "new ones are healthy, 5 s at most"
        )
    yield from _drained_lines(told)
    for note in told.notes:
        yield f"note: {note}"


def _drained_lines(told: Plan) -> Iterator[str]:
    if not told.drained:
        return
    yield (
        "drained: gets no new requests, and is gone when no Envoy is at work there, "
        f"after {told.drain_s:g} s at most"
    )
    yield from (f"  {what}" for what in told.drained[:SHOWN_RESOURCES])
    if more := told.drained[SHOWN_RESOURCES:]:
        yield f"  and {len(more):,} more"


def _entry_lines(entry: EntryChange) -> Iterator[str]:
    summary = f"  {entry.summary}" if entry.summary else ""
    yield f"  {SIGNS[entry.what]} {entry.name}{summary}"
    for field in entry.fields:
        yield f"      {_field_text(field)}"


def _field_text(change: FieldChange) -> str:
    if change.what == "added":
        return f"{change.field}: + {change.after}"
    if change.what == "removed":
        return f"{change.field}: - {change.before}"
    return f"{change.field}: {change.before} -> {change.after}"


def _group_lines(group: GroupPlan) -> Iterator[str]:
    gets = f"gateway {group.gateway}" if group.gateway else "no gateway any more"
    yield f"Envoys of {_whose(group.nodes)} ({gets})"
    for change in group.resources[:SHOWN_RESOURCES]:
        yield f"  {_resource_text(change)}"
    more = len(group.resources) - SHOWN_RESOURCES
    if more > 0:
        yield f"  and {more:,} more"
    delta, sotw = group.traffic["delta"], group.traffic["sotw"]
    yield (
        f"  {_resources(len(group.resources))}, {group.unchanged:,} stay; to each Envoy: "
        f"{delta.sent_bytes:,} bytes (delta) or {sotw.sent_bytes:,} (state of the world)"
    )
    if group.listener_changes:
        yield "  the listener changes: open connections end, each with its next answer"
    else:
        yield "  no listener changes: no connection ends"


def _resources(number: int) -> str:
    return "1 resource changes" if number == 1 else f"{number:,} resources change"


def _whose(nodes: NodeSelector) -> str:
    cluster = "all node clusters" if nodes.cluster == ANY else f"node cluster {nodes.cluster}"
    more = [f"node.id {nodes.node_id}"] if nodes.node_id != ANY else []
    more += [f"{name} {value}" for name, value in nodes.metadata]
    return ", ".join((cluster, *more))


def _resource_text(change: ResourceChange) -> str:
    size = f"  {change.body_bytes:,} bytes" if change.body_bytes else ""
    return f"{SIGNS[change.what]} {change.type} {change.name}{size}"
