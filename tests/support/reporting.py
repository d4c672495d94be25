"""Envoys, as drains see them."""

from __future__ import annotations

from xds_server.loads import NodeLoad, Report
from xds_server.reload.drains import Envoy


class Reporting:
    """An Envoy that reports, once a second."""

    def __init__(self, node_id: str = "envoy-1", group: str = "*") -> None:
        self.node_id = node_id
        self.group = group
        self.load: NodeLoad | None = NodeLoad()
        self.converged_at: float | None = 0.5
        self.gone_at: float | None = None
        self.now = 0.0

    def says(self, in_progress: int = 0, *, told: bool = True) -> Reporting:
        self.now += 1
        places = {("pool/p", "10.0.0.1", 8000): in_progress} if in_progress else {}
        clusters = frozenset(["pool/p"] if told else [])
        if self.load:
            self.load.reported(Report(self.now, clusters, places))
        return self

    def seen(self) -> Envoy:
        return Envoy(self.node_id, self.group, self.gone_at, self.converged_at, self.load)
