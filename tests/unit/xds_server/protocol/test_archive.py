"""Which resources a version stands for."""

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import CLUSTER, LISTENER
from tests.support.snapshots import cluster
from xds_server.protocol.archive import REMEMBERED, Archive


def test_a_state_is_found_by_its_type_and_version():
    archive = Archive()
    state = TypeSnapshot.of([cluster("a")])
    archive.remember(CLUSTER, state)

    assert archive.recall(CLUSTER, state.version) == {"a": cluster("a")}
    assert archive.recall(LISTENER, state.version) is None
    assert archive.recall(CLUSTER, "of another control plane") is None


def test_only_the_last_states_are_remembered():
    archive = Archive()
    states = [TypeSnapshot.of([cluster("a", str(n))]) for n in range(REMEMBERED + 1)]
    for state in states:
        archive.remember(CLUSTER, state)

    assert archive.recall(CLUSTER, states[0].version) is None
    assert archive.recall(CLUSTER, states[1].version) is not None
