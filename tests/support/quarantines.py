"""What tests of the quarantine have in common."""

from snapshots.snapshot import NodeSnapshot
from tests.support.snapshots import node_snapshot
from xds_server.protocol.quarantine import Quarantine


def accepted(quarantine: Quarantine, *resources) -> NodeSnapshot:
    """Serve *resources* and have a node ACK them all."""
    desired = node_snapshot(*resources)
    quarantine.effective(desired)
    quarantine.accepted(desired.gateway, resources)
    return desired


def served(quarantine: Quarantine, desired: NodeSnapshot, type_url):
    return dict(quarantine.effective(desired).snapshot.types[type_url].resources)
