"""Which names differ between two snapshots of one type."""

from snapshots.snapshot import TypeSnapshot
from tests.support.snapshots import cluster
from xds_server.protocol import changes
from xds_server.protocol.changes import REMEMBERED, changed_names


def of(*resources):
    return TypeSnapshot.of(resources)


def test_added_changed_and_removed_names_differ():
    before = of(cluster("same"), cluster("changed"), cluster("removed"))
    after = of(cluster("same"), cluster("changed", "2"), cluster("added"))

    assert changed_names(before, after) == ("added", "changed", "removed")


def test_equal_snapshots_do_not_differ():
    assert changed_names(of(cluster("a")), of(cluster("a"))) == ()


def test_a_comparison_is_made_once_for_all_streams():
    before, after = of(cluster("a")), of(cluster("a", "2"))

    assert changed_names(before, after) is changed_names(of(cluster("a")), after)


def test_only_so_many_comparisons_are_remembered():
    for n in range(REMEMBERED + 10):
        changed_names(of(), of(cluster("a", str(n))))

    assert len(changes._remembered) <= REMEMBERED  # noqa: SLF001
