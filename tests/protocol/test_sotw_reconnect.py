"""What a state-of-the-world session does when a client comes back: it tells a version, no names."""

from __future__ import annotations

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.snapshots import (
    cluster,
    endpoints,
    model,
    names,
    node_snapshot,
    pool,
    route,
)
from tests.support.talk import SotwTalk
from xds_server.protocol.archive import Archive
from xds_server.protocol.quarantine import Quarantine


def started(*resources, quarantine=None, archive=None) -> SotwTalk:
    talk = SotwTalk(quarantine, archive)
    talk.publish(*resources)
    return talk


def test_after_a_reconnect_an_unchanged_full_state_is_sent_again():
    """The client may have applied a part of a newer one that it refused."""
    talk = started(cluster("a"))
    talk.version[CLUSTER] = TypeSnapshot.of([cluster("a")]).version
    talk.subscribe(CLUSTER)

    assert talk.told_one().resources == (cluster("a"),)


def test_after_a_reconnect_named_resources_are_sent_again():
    """Whether the client had asked for the same names before is not known."""
    desired = node_snapshot(endpoints("a"))
    talk = SotwTalk()
    talk.offer(desired)
    talk.version[ENDPOINT] = desired.types[ENDPOINT].version
    talk.subscribe(ENDPOINT, "a")

    assert talk.told_one().resources == (endpoints("a"),)


def test_after_a_reconnect_with_an_unknown_version_the_full_state_is_sent():
    talk = started(cluster("a"))
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)

    assert talk.told_one().resources == (cluster("a"),)


def test_after_a_reconnect_an_empty_full_state_is_sent_if_the_client_holds_something():
    talk = started()
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)

    assert talk.told_one().resources == ()


def test_after_a_reconnect_clusters_go_only_after_the_routes_that_used_them():
    archive, quarantine = Archive(), Quarantine()
    before = started(*pool("old"), route("m", "old"), archive=archive, quarantine=quarantine)
    before.subscribe(CLUSTER)
    before.subscribe(ENDPOINT, "old")
    before.subscribe(ROUTE, "m")
    before.settle()
    talk = started(*pool("new"), route("m", "new"), archive=archive, quarantine=quarantine)
    talk.version = dict(before.version)

    talk.subscribe(CLUSTER)
    talk.subscribe(ENDPOINT, "old")
    talk.subscribe(ROUTE, "m")
    union = talk.told_one()

    assert names(union.resources) == ["new", "old"]

    talk.ack(union)
    talk.subscribe(ENDPOINT, "old", "new")
    rest = talk.settle()

    assert [r.type_url for r in rest] == [ENDPOINT, ROUTE, CLUSTER]
    assert names(rest[-1].resources) == ["new"]


def test_what_a_client_may_hold_is_not_taken_away_because_the_new_version_was_refused():
    """After a restart of the control plane the older version cannot be sent, nor left out."""
    talk = started(cluster("a", "bad"), cluster("b"))
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)

    talk.nack(talk.told_one(), "a: no good")

    assert talk.told() == []

    talk.publish(cluster("a", "good"), cluster("b"))

    assert names(talk.told_one().resources) == ["a", "b"]


def test_a_client_whose_clusters_stay_as_they_are_is_told_the_rest():
    talk = started(cluster("a", "bad"), cluster("b"), *model("m", "b"))
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)
    talk.nack(talk.told_one(), "a: no good")

    talk.subscribe(ROUTE, "m")

    assert talk.told_one().resources == (route("m", "b"),)


def test_no_search_takes_away_what_a_client_may_hold():
    talk = started(cluster("a"), cluster("b", "bad"))
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)

    received = talk.nack(talk.told_one(), "something is wrong")

    assert names(received.refused) == ["a", "b"]
    assert talk.told() == []
