"""What every Envoy runs, as far as its ACKs and refusals tell."""

import pytest

from snapshots.snapshot import NO_GATEWAY, Snapshot
from snapshots.type_urls import CLUSTER
from tests.support.snapshots import cluster, node_snapshot, snapshot
from xds_server.fleet import Fleet, Node, Rejection
from xds_server.store import SnapshotStore


@pytest.fixture
def store():
    return SnapshotStore()


@pytest.fixture
def fleet(store):
    return Fleet(store)


def only(fleet: Fleet):
    (node,) = fleet.nodes()
    return node


def test_a_fleet_starts_without_nodes(fleet):
    assert fleet.nodes() == []


def test_a_node_that_opened_a_stream_is_connected(fleet, store):
    store.publish(snapshot(cluster("p")))
    fleet.opened(Node("envoy-1", "edge", "1.40.0"), "delta")

    node = only(fleet)
    assert (node.id, node.cluster, node.envoy_version) == ("envoy-1", "edge", "1.40.0")
    assert (node.connected, node.variant) == (True, "delta")
    assert (node.revision, node.converged, node.rejected) == (None, False, None)


def test_nodes_come_in_the_order_of_their_ids(fleet):
    for node_id in ("b", "c", "a"):
        fleet.opened(Node(node_id, ""), "delta")

    assert [node.id for node in fleet.nodes()] == ["a", "b", "c"]


def test_a_node_that_left_is_kept(fleet, store):
    published = store.publish(snapshot(cluster("p"))).snapshot
    record = fleet.opened(Node("n", ""), "sotw")
    fleet.converged(record, published)
    fleet.closed(record)

    node = only(fleet)
    assert (node.connected, node.revision) == (False, published.revision)


def test_convergence_is_told_once_for_each_content(fleet, store):
    published = store.publish(snapshot(cluster("p"))).snapshot
    record = fleet.opened(Node("n", ""), "delta")

    assert fleet.converged(record, published)
    assert not fleet.converged(record, published)


def test_a_newer_publication_ends_convergence(fleet, store):
    first = store.publish(snapshot(cluster("p"))).snapshot
    record = fleet.opened(Node("n", ""), "delta")
    fleet.converged(record, first)

    store.publish(snapshot(cluster("p", "2")))

    node = only(fleet)
    assert (node.converged, node.revision) == (False, first.revision)


def test_a_publication_that_changes_nothing_for_a_node_does_not(fleet, store):
    mine, theirs = node_snapshot(cluster("p"), gateway="a"), node_snapshot(cluster("q"))
    first = store.publish(Snapshot.of({"a": mine, "*": theirs})).snapshot
    record = fleet.opened(Node("n", "a"), "delta")
    fleet.converged(record, first)

    other = node_snapshot(cluster("q", "2"))
    second = store.publish(Snapshot.of({"a": mine, "*": other})).snapshot

    node = only(fleet)
    assert (node.converged, node.revision) == (True, second.revision)


def test_a_node_that_asks_for_more_has_diverged(fleet, store):
    published = store.publish(snapshot(cluster("p"))).snapshot
    record = fleet.opened(Node("n", ""), "delta")
    fleet.converged(record, published)

    fleet.diverged(record)

    node = only(fleet)
    assert (node.converged, node.revision) == (False, published.revision)


def test_a_node_that_no_gateway_wants_converges_on_nothing(fleet, store):
    published = store.publish(Snapshot.of({"edge": node_snapshot(cluster("p"))})).snapshot
    record = fleet.opened(Node("n", "elsewhere"), "delta")

    assert published.for_node("elsewhere") is NO_GATEWAY
    assert fleet.converged(record, published)
    assert only(fleet).converged


def test_a_refusal_is_news_once_for_each_content(fleet, store):
    bad = cluster("p", "bad", origin=("pools", "p"))
    store.publish(snapshot(bad))
    record = fleet.opened(Node("n", ""), "delta")
    expected = Rejection(CLUSTER, "p", "no good", "pools.p")

    assert fleet.rejected(record, CLUSTER, [bad], "no good") == (expected,)
    assert fleet.rejected(record, CLUSTER, [bad], "no good") == ()
    assert only(fleet).rejected == expected


def test_a_refusal_is_no_news_after_a_reconnect(fleet, store):
    bad = cluster("p", "bad")
    store.publish(snapshot(bad))
    fleet.rejected(fleet.opened(Node("n", ""), "delta"), CLUSTER, [bad], "no good")

    record = fleet.opened(Node("n", ""), "delta")

    assert fleet.rejected(record, CLUSTER, [bad], "no good") == ()
    assert only(fleet).rejected is not None


def test_a_refusal_ends_when_its_content_is_served_no_more(fleet, store):
    bad = cluster("p", "bad")
    store.publish(snapshot(bad))
    record = fleet.opened(Node("n", ""), "delta")
    fleet.rejected(record, CLUSTER, [bad], "no good")

    store.publish(snapshot(cluster("p", "good")))

    assert only(fleet).rejected is None


def test_a_refusal_stands_while_other_content_changes(fleet, store):
    bad = cluster("p", "bad")
    store.publish(snapshot(bad))
    record = fleet.opened(Node("n", ""), "delta")
    fleet.rejected(record, CLUSTER, [bad], "no good")

    store.publish(snapshot(bad, cluster("q")))

    assert only(fleet).rejected is not None


def test_a_refusal_ends_when_the_node_accepts_everything(fleet, store):
    bad = cluster("p", "bad")
    published = store.publish(snapshot(bad)).snapshot
    record = fleet.opened(Node("n", ""), "delta")
    fleet.rejected(record, CLUSTER, [bad], "no good")

    fleet.converged(record, published)

    assert only(fleet).rejected is None


def test_the_newest_refusal_is_shown(fleet, store):
    bad = [cluster("p", "bad"), cluster("q", "bad")]
    store.publish(snapshot(*bad))
    record = fleet.opened(Node("n", ""), "delta")
    fleet.rejected(record, CLUSTER, bad, "no good")

    assert only(fleet).rejected.resource == "q"

    store.publish(snapshot(bad[0]))

    assert only(fleet).rejected.resource == "p"


def test_a_refusal_that_names_nothing_stands_until_anything_changes(fleet, store):
    store.publish(snapshot(cluster("p")))
    record = fleet.opened(Node("n", ""), "delta")

    assert fleet.rejected(record, CLUSTER, [], "what?") == (Rejection(CLUSTER, "", "what?", ""),)
    assert only(fleet).rejected.resource == ""

    store.publish(snapshot(cluster("p", "2")))

    assert only(fleet).rejected is None


def test_where_content_comes_from_is_told_by_who_knows(store):
    fleet = Fleet(store, lambda origin: f"registry.yaml:7:3 ({'.'.join(origin)})")
    bad = cluster("p", "bad", origin=("pools", "p"))
    store.publish(snapshot(bad))
    fleet.rejected(fleet.opened(Node("n", ""), "delta"), CLUSTER, [bad], "no good")

    assert only(fleet).rejected.registry_place == "registry.yaml:7:3 (pools.p)"


def test_the_newest_stream_stands_for_its_node(fleet):
    old = fleet.opened(Node("n", ""), "delta")
    fleet.opened(Node("n", ""), "sotw")
    fleet.closed(old)

    node = only(fleet)
    assert (node.connected, node.variant) == (True, "sotw")


def test_nodes_that_left_long_ago_are_forgotten(store):
    fleet = Fleet(store, max_nodes=3)
    stays = fleet.opened(Node("stays", ""), "delta")
    for n in range(5):
        fleet.closed(fleet.opened(Node(f"left-{n}", ""), "delta"))

    assert [node.id for node in fleet.nodes()] == ["left-3", "left-4", "stays"]
    assert stays.connected


def test_nodes_that_are_connected_are_never_forgotten(store):
    fleet = Fleet(store, max_nodes=2)
    for n in range(5):
        fleet.opened(Node(f"n{n}", ""), "delta")

    assert len(fleet.nodes()) == 5
