"""What a delta session does when a client comes back: it tells the versions that it holds."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    pool,
    route,
)
from tests.support.talk import DeltaTalk


def started(*resources, quarantine=None) -> DeltaTalk:
    talk = DeltaTalk(quarantine)
    talk.publish(*resources)
    return talk


def test_after_a_reconnect_nothing_is_sent_that_the_client_holds():
    talk = started(cluster("a"), cluster("b", "2"), cluster("d"))
    talk.resume(
        CLUSTER,
        "*",
        holding={"a": cluster("a").version, "b": cluster("b").version, "c": "gone since"},
    )
    changed, gone = talk.settle()

    assert changed.resources == (cluster("b", "2"), cluster("d"))
    assert gone.removed_resources == ("c",)
    assert talk.in_sync()


def test_after_a_reconnect_to_an_unchanged_snapshot_there_is_silence():
    talk = started(*pool("p"), route("m", "p"), listener("l"))
    talk.resume(CLUSTER, holding={"p": cluster("p").version})
    talk.resume(ENDPOINT, "p", holding={"p": endpoints("p").version})
    talk.resume(LISTENER, "*", holding={"l": listener("l").version})
    talk.resume(ROUTE, "m", holding={"m": route("m", "p").version})

    assert talk.told() == []
    assert talk.in_sync()


def test_after_a_reconnect_a_named_resource_that_is_gone_is_told_removed():
    talk = started()
    talk.resume(ROUTE, "m", holding={"m": "1"})

    assert talk.settle()[-1].removed_resources == ("m",)


def test_after_a_reconnect_nothing_is_removed_before_the_client_had_its_say():
    """It asks for its clusters first, and for the routes that use them after that."""
    talk = started(*pool("new"), route("m", "new"))
    talk.resume(CLUSTER, holding={"old": "1", "new": cluster("new").version})
    probe = talk.told_one()
    assert (probe.resources, probe.removed_resources) == ((), ())

    talk.resume(ENDPOINT, "old", "new", holding={"old": "1", "new": endpoints("new").version})
    talk.resume(ROUTE, "m", holding={"m": "1"})
    talk.ack(probe)

    assert [r.type_url for r in talk.settle()] == [ROUTE, ENDPOINT, CLUSTER]


def test_after_a_reconnect_a_changed_route_waits_for_the_new_cluster():
    talk = started(*pool("new"), route("m", "new"))
    talk.resume(CLUSTER, "*", holding={"old": "1"})
    talk.resume(ENDPOINT, "old", holding={"old": "1"})
    talk.resume(ROUTE, "m", holding={"m": "1"})

    clusters = talk.told_one()
    assert clusters.resources == (cluster("new"),)

    talk.ack(clusters)
    assert talk.told() == []

    talk.subscribe(ENDPOINT, "new")
    assert [r.type_url for r in talk.settle()] == [ENDPOINT, ROUTE, ENDPOINT, CLUSTER]


def test_names_in_initial_resource_versions_that_were_not_asked_for_mean_nothing():
    talk = started(endpoints("a"))
    talk.resume(ENDPOINT, "a", holding={"b": "1"})

    assert talk.told_one().resources == (endpoints("a"),)
