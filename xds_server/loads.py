"""What Envoys are at work for, by their load reports.

They are asked only while somebody wants to know; the streams of `xds_server.load_reports` write
here what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHORTEST_INTERVAL_S = 0.25
LONGEST_INTERVAL_S = 5.0
CLUSTERS_PER_S = 50_000
"""Over all reports: as many as one control plane reads without its streams noticing."""

Place = tuple[str, str, int]
"""Cluster, host and port."""


@dataclass(frozen=True, slots=True)
class Question:
    """What Envoys are asked to report."""

    serial: int
    clusters: frozenset[str]
    """None: nothing any more."""
    interval_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """One report of an Envoy."""

    at: float
    """When it came, by the event loop's clock."""
    told: frozenset[str]
    """The clusters that it tells of, of those that were asked for."""
    in_progress: Mapping[Place, int]
    """Requests in progress, without servers that have none."""


NOTHING = Report(float("-inf"), frozenset(), {})


@dataclass(slots=True, eq=False)
class NodeLoad:
    """What one Envoy says."""

    latest: Report = NOTHING
    before: Report = NOTHING

    def reported(self, report: Report) -> None:
        """Record *report*."""
        self.before, self.latest = self.latest, report

    def tells_of(self, cluster: str, since: float) -> bool:
        """Return whether it has told of *cluster* twice *since* then, and did so in the end."""
        before = self.before
        return before.at > since and cluster in before.told and cluster in self.latest.told

    def of(self, cluster: str, server: tuple[str, int] | None = None) -> int:
        """Return the number of requests in progress at *server*, or at all of the cluster."""
        if server is not None:
            return self.latest.in_progress.get((cluster, *server), 0)
        found = self.latest.in_progress.items()
        return sum(number for (name, _, _), number in found if name == cluster)


class Loads:
    """The load reports of all nodes. For one event loop only."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeLoad] = {}
        self._question = Question(0, frozenset(), LONGEST_INTERVAL_S)
        self._asked = asyncio.Event()

    @property
    def question(self) -> Question:
        """What Envoys are asked now."""
        return self._question

    def ask(self, clusters: Iterable[str]) -> None:
        """Have every Envoy report the requests in progress at *clusters*; none: report nothing.

        What was asked for before stays: an Envoy that is asked anew begins its interval anew.
        """
        wanted, asked_for = frozenset(clusters), self._question.clusters
        if wanted == asked_for or (wanted and wanted < asked_for):
            return
        pace = len(self._nodes) * len(wanted) / CLUSTERS_PER_S
        interval_s = min(max(pace, SHORTEST_INTERVAL_S), LONGEST_INTERVAL_S)
        self._question = Question(self._question.serial + 1, wanted, interval_s)
        asked, self._asked = self._asked, asyncio.Event()
        asked.set()

    async def newer_than(self, serial: int) -> Question:
        """Return the question as soon as its serial exceeds *serial*."""
        while self._question.serial <= serial:
            await self._asked.wait()
        return self._question

    def opened(self, node_id: str) -> NodeLoad:
        """Record that a node can report; what it says goes into what is returned."""
        load = self._nodes[node_id] = NodeLoad()
        return load

    def closed(self, node_id: str, load: NodeLoad) -> None:
        """Record that the stream of *load* ended."""
        if self._nodes.get(node_id) is load:
            del self._nodes[node_id]

    def of(self, node_id: str) -> NodeLoad | None:
        """Return what a node says; None if it does not report."""
        return self._nodes.get(node_id)
