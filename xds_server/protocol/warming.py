"""Which clusters a client can use by now, and which endpoints it needs for that.

Implements "Resource warming" of the xDS protocol page: a cluster that is new or changed is not used
until a load assignment was sent after it, "even though there is no change in endpoints", and was
checked. Envoy 1.40 says nothing of CDS meanwhile: no ACK and, after a reconnect, no first request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from snapshots.snapshot import Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, TypeUrl
from xds_server.protocol.ledger import Ledger


class Warming:
    """The clusters of one stream, whose *ledgers* it reads.

    *is_envoy*: whether the client says nothing of CDS while a cluster is warming.
    """

    def __init__(self, ledgers: Mapping[TypeUrl, Ledger], *, is_envoy: bool) -> None:
        self._ledgers = ledgers
        self._is_envoy = is_envoy
        self._awaited: set[str] = set()
        """Clusters that were sent and whose endpoints were not, since."""
        self._early: dict[str, Resource] = {}
        """Endpoints of clusters that were sent before any endpoints were asked for."""

    def clusters_sent(self, changed: Iterable[str], assignments: Mapping[str, Resource]) -> None:
        """Record that *changed* clusters were sent: have those of *assignments* follow."""
        endpoints = self._ledgers.get(ENDPOINT)
        following = {name: assignments[name] for name in changed if name in assignments}
        if endpoints is None:
            self._early.update(following)
        else:
            self._awaited.update(following)
            endpoints.promise(following.values())

    def clusters_removed(self, names: Iterable[str]) -> None:
        """Record that the removal of clusters was sent: nothing needs to follow."""
        endpoints = self._ledgers.get(ENDPOINT)
        for name in names:
            self._early.pop(name, None)
            if endpoints is not None:
                endpoints.promised.pop(name, None)

    def endpoints_sent(self, names: Iterable[str]) -> None:
        """Record that endpoints were sent."""
        self._awaited.difference_update(names)

    def endpoints_asked_for(self, endpoints: Ledger) -> None:
        """Send what the clusters that were sent before need, whatever the client says it holds.

        If some were warming when it lost the last connection, that is all it asks for: which they
        are is not known.
        """
        endpoints.promise(self._early.values())
        self._early.clear()
        if self.is_left_over():
            endpoints.subscribed(sorted(endpoints.subscription.names), resend=True)

    def is_left_over(self) -> bool:
        """Return whether clusters are warming since before this stream, it is not known which."""
        return self._is_envoy and ENDPOINT in self._ledgers and CLUSTER not in self._ledgers

    def awaits_endpoints(self) -> bool:
        """Return whether a cluster was sent whose endpoints are still to be asked for or sent."""
        for name in tuple(self._awaited):
            if not self._is_needed(name):
                self._awaited.discard(name)
        return bool(self._awaited)

    def is_ready(self, name: str) -> bool:
        """Return whether the client uses the cluster *name* as it should."""
        clusters, endpoints = self._ledgers.get(CLUSTER), self._ledgers.get(ENDPOINT)
        if clusters is not None and not clusters.is_settled(name):
            return False
        if endpoints is None:
            return True
        on_its_way = endpoints.is_on_its_way(name) or name in self._awaited
        return endpoints.is_settled(name) and not on_its_way

    def all_are_ready(self) -> bool:
        """Return whether the client has answered all there is to say of clusters."""
        ledgers = (self._ledgers.get(type_url) for type_url in (CLUSTER, ENDPOINT))
        busy = any(ledger.outstanding or ledger.unsent for ledger in ledgers if ledger)
        return not busy and not self._awaited

    def _is_needed(self, name: str) -> bool:
        """Return whether the cluster *name* and its endpoints are still to be had."""
        clusters, endpoints = self._ledgers[CLUSTER], self._ledgers[ENDPOINT]
        cluster, assignment = clusters.wanted(name), endpoints.offered(name)
        if cluster is None or assignment is None:
            return False
        return not (clusters.client.is_refused(cluster) or endpoints.client.is_refused(assignment))
