"""Whether each Envoy gets one gateway at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.node_selector import ANY, NodeSelector
from snapshots.registry.problems import Path, Refusal, code

Entries = Mapping[str, object]
FIELDS = ("node_cluster", "node_id", "node_metadata")
HINT = "an Envoy gets one gateway: give each a node_cluster of its own"


def check_nodes(gateways: Mapping[str, Entries]) -> Iterator[Refusal]:
    """Yield each of *gateways* that wants Envoys which one before it wants.

    But for the one that wants all: it gets those that no other gateway wants.
    """
    taken: list[tuple[str, NodeSelector]] = []
    for name, gateway in gateways.items():
        wanted = _selector(gateway)
        if wanted is None:
            continue
        for other, selector in taken:
            if _clash(wanted, selector):
                yield Refusal(_place(name, gateway), _problem(other, selector, wanted), HINT)
                break
        taken.append((name, wanted))


def _selector(gateway: Entries) -> NodeSelector | None:
    """Return which Envoys *gateway* wants; None if its form is wrong."""
    cluster, node_id = (gateway.get(field, ANY) for field in ("node_cluster", "node_id"))
    metadata = gateway.get("node_metadata", {})
    if not isinstance(metadata, Mapping) or not all(isinstance(v, str) for v in metadata.values()):
        return None
    if not isinstance(cluster, str) or not isinstance(node_id, str):
        return None
    return NodeSelector(cluster, node_id, tuple(sorted(metadata.items())))


def _clash(one: NodeSelector, other: NodeSelector) -> bool:
    everything = NodeSelector()
    if everything in (one, other):
        return one == other
    return one.overlaps(other)


def _place(name: str, gateway: Entries) -> Path:
    given = [field for field in FIELDS if field in gateway]
    return ("gateways", name, *given[:1]) if len(given) == 1 else ("gateways", name)


def _problem(other: str, selector: NodeSelector, wanted: NodeSelector) -> str:
    if selector == wanted and selector.is_by_cluster:
        return f"gateway {code(other)} has the node_cluster {code(selector.cluster)} already"
    return f"gateway {code(other)} wants some of the same Envoys"
