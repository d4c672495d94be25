"""How many Envoys are in which state, counted when the metrics are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from xds_server.node_status import NodeStatus

STATES = ("converged", "behind", "refusing", "disconnected")
"""Each node is in one of them."""


def state_of(node: NodeStatus) -> str:
    """Return the state of *node*; a standing refusal counts even if the node has gone."""
    if node.rejected:
        return "refusing"
    if not node.connected:
        return "disconnected"
    return "converged" if node.converged else "behind"


class NodeCollector(Collector):
    """`modelyard_nodes{state}` of whatever *nodes* returns."""

    def __init__(self, nodes: Callable[[], Iterable[NodeStatus]]) -> None:
        self._nodes = nodes

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the gauge; every state is there, be it with 0."""
        gauge = GaugeMetricFamily(
            "modelyard_nodes",
            "Envoys that have connected since the start, by state.",
            labels=["state"],
        )
        tally = Counter(map(state_of, self._nodes()))
        for state in STATES:
            gauge.add_metric([state], tally[state])
        yield gauge
