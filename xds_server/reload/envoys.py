"""The Envoys of the fleet, as the drains look at them."""

from __future__ import annotations

from collections.abc import Iterator

from xds_server.fleet import Fleet
from xds_server.loads import Loads
from xds_server.reload.drains import Envoy
from xds_server.store import SnapshotStore


def envoys_of(fleet: Fleet, loads: Loads, store: SnapshotStore, since: float) -> Iterator[Envoy]:
    """Yield what is known of each Envoy that is connected, or was after *since*."""
    if store.current is None:
        return
    snapshot = store.current.snapshot
    groups = {id(node): group for group, node in snapshot.nodes.items()}
    for node, gone_at, converged_at in fleet.standings(since):
        group = groups.get(id(node.view(snapshot)), "")
        yield Envoy(node.id, group, gone_at, converged_at, loads.of(node.id))
