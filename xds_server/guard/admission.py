"""How many streams are open, of whom, and what each node may take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from xds_server.guard.allowance import Allowance
from xds_server.guard.limits import Limit, LimitError, Limits


@dataclass(slots=True)
class _Node:
    allowance: Allowance
    streams: int = 0


class Admission:
    """Counts the streams of one server. For one event loop only."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._streams = 0
        self._nodes: OrderedDict[str, _Node] = OrderedDict()
        """Also of nodes that left: who comes back at once has no fresh allowance."""

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count one more stream during the block. Raises LimitError if there are too many."""
        if self._streams >= self.limits.streams:
            raise LimitError(
                Limit.STREAMS,
                f"this control plane has {self.limits.streams} streams open, and takes no more",
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    @contextmanager
    def node(self, node_id: str) -> Iterator[Allowance]:
        """Count the stream for its node, too. Raises LimitError if that has too many."""
        node = self._nodes.get(node_id)
        if node is None:
            node = self._nodes[node_id] = _Node(Allowance(self.limits, self._clock))
        self._nodes.move_to_end(node_id)
        if node.streams >= self.limits.streams_per_node:
            raise LimitError(
                Limit.NODE_STREAMS,
                f"a node can have {self.limits.streams_per_node} streams open: does another Envoy "
                "have the same node id?",
            )
        node.streams += 1
        try:
            yield node.allowance
        finally:
            node.streams -= 1
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        while len(self._nodes) > self.limits.streams:
            node_id = next(iter(self._nodes))
            if self._nodes[node_id].streams:
                self._nodes.move_to_end(node_id)
                return
            del self._nodes[node_id]
