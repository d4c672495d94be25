"""What every Envoy runs, as far as its ACKs and refusals tell."""

import asyncio
from datetime import datetime, timedelta

import pytest

from snapshots.snapshot import NO_GATEWAY, Snapshot
from snapshots.type_urls import CLUSTER, ROUTE
from tests.support.snapshots import cluster, node_snapshot, snapshot
from xds_server.fleet import Fleet, Node
from xds_server.node_status import Progress, Rejection, TypeStatus
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


def test_a_node_is_told_with_its_gateway_and_when_it_came_and_went(fleet, store):
    store.publish(Snapshot.of({"edge": node_snapshot(cluster("p"), gateway="outer")}))
    record = fleet.opened(Node("n", "edge"), "delta")
    there = only(fleet)
    fleet.closed(record)
    gone = only(fleet)

    assert (there.gateway, there.disconnected_at) == ("outer", None)
    assert gone.connected_at == there.connected_at <= gone.disconnected_at
    assert datetime.fromisoformat(gone.disconnected_at).utcoffset() == timedelta(0)


def test_each_type_is_told_with_the_version_that_was_sent_and_the_one_that_was_taken(fleet, store):
    published = store.publish(snapshot(cluster("p"))).snapshot
    current = published.for_node("").types[CLUSTER].version
    record = fleet.opened(Node("n", ""), "delta")
    assert only(fleet).types == ()

    fleet.sent(record, CLUSTER, current)
    assert only(fleet).types == (TypeStatus("cds", current, None, converged=False),)

    fleet.taken(record, [(CLUSTER, current), (ROUTE, "old")])
    assert only(fleet).types == (
        TypeStatus("cds", current, current, converged=True),
        TypeStatus("rds", None, "old", converged=False),
    )


def test_what_is_on_its_way_ends_convergence_even_if_the_edit_is_taken_back_meanwhile(fleet, store):
    first = snapshot(cluster("p"))
    store.publish(first)
    record = fleet.opened(Node("n", ""), "delta")
    fleet.converged(record, first)

    second = store.publish(snapshot(cluster("p", "2"))).snapshot
    fleet.sent(record, CLUSTER, second.for_node("").types[CLUSTER].version)
    store.publish(first)

    assert not only(fleet).converged
    assert fleet.progress().behind == ("n",)


def test_the_last_refusal_is_told_even_when_it_has_been_repaired_and_after_a_reconnect(
    fleet, store
):
    bad = cluster("p", "bad", origin=("pools", "p"))
    store.publish(snapshot(bad))
    fleet.rejected(fleet.opened(Node("n", ""), "delta"), CLUSTER, [bad], "no good")
    good = store.publish(snapshot(cluster("p"))).snapshot
    fleet.converged(fleet.opened(Node("n", ""), "delta"), good)

    node = only(fleet)
    last = node.last_rejected
    assert node.rejected is None
    assert (last.resource, last.error_detail, last.registry_place) == ("p", "no good", "pools.p")
    assert last.at >= "2025"


def test_progress_counts_connected_nodes_only_and_tells_when_the_last_one_converged(store):
    times = iter([10.0, 20.0])
    fleet = Fleet(store, clock=lambda: next(times))
    published = store.publish(snapshot(cluster("p"))).snapshot
    records = [fleet.opened(Node(name, ""), "delta") for name in ("b", "a", "gone")]
    fleet.closed(records[2])
    assert fleet.progress() == Progress(2, 0, ("a", "b"), 0.0)

    for record in records[:2]:
        fleet.converged(record, published)

    assert fleet.progress() == Progress(2, 2, (), 20.0)


async def test_whoever_waits_hears_of_everything_that_happens_to_a_node(fleet, store):
    published = store.publish(snapshot(cluster("p"))).snapshot
    record = fleet.opened(Node("n", ""), "delta")
    happenings = (
        lambda: fleet.opened(Node("m", ""), "delta"),
        lambda: fleet.rejected(record, CLUSTER, [cluster("p")], "no"),
        lambda: fleet.converged(record, published),
        lambda: fleet.closed(record),
    )
    for happen in happenings:
        async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
            tasks.create_task(fleet.changed.heard())
            await asyncio.sleep(0)
            happen()


def refused_before(fleet, resource):
    """Have *fleet* go on with what `envoy-1` refused of another process."""
    before = Fleet(SnapshotStore(), lambda _: "registry.yaml:3:3 (pools.p)")
    record = before.opened(Node("envoy-1", "", "1.40.0"), "delta")
    before.refusals.quarantine.refused([resource], "1.40.0")
    before.rejected(record, CLUSTER, [resource], "no good")
    fleet.refusals.restore(before.refusals.kept())


def test_what_a_node_refused_of_another_process_is_told_as_soon_as_it_should_have_it(store):
    fleet = Fleet(store, lambda _: "registry.yaml:4:3 (pools.p)")
    bad = cluster("p", "bad", origin=("pools", "p"))
    refused_before(fleet, bad)
    store.publish(snapshot(cluster("p", "older")))
    fleet.opened(Node("envoy-1", "", "1.40.0"), "delta")
    assert only(fleet).rejected is None

    store.publish(snapshot(bad))

    told = only(fleet)
    assert told.rejected == Rejection(CLUSTER, "p", "no good", "registry.yaml:4:3 (pools.p)")
    assert told.last_rejected.registry_place == "registry.yaml:3:3 (pools.p)"


def test_a_node_of_another_version_has_refused_nothing(fleet, store):
    bad = cluster("p", "bad")
    refused_before(fleet, bad)
    store.publish(snapshot(bad))
    fleet.opened(Node("envoy-1", "", "1.41.0"), "delta")

    assert (only(fleet).rejected, only(fleet).kept_from) == (None, None)


def test_a_node_that_is_not_given_what_another_refused_says_so(fleet, store):
    bad = cluster("p", "bad")
    refused_before(fleet, bad)
    store.publish(snapshot(bad))
    record = fleet.opened(Node("envoy-2", "", "1.40.0"), "delta")

    told = only(fleet)
    assert told.rejected is None
    assert (told.kept_from.resource, told.kept_from.by) == ("p", "envoy-1")

    record.awaits_answer = True
    assert only(fleet).kept_from is None  # it may yet refuse it, or take it
