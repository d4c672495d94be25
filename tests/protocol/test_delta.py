"""Conversations with a delta session, one rule of the xDS protocol page each."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    model,
    names,
    pool,
    resource,
    route,
)
from tests.support.talk import DeltaTalk
from xds_server.protocol.events import DeltaRequest, Verdict

RUNTIME = TypeUrl("type.googleapis.com/envoy.service.runtime.v3.Runtime")


def started(*resources, quarantine=None) -> DeltaTalk:
    talk = DeltaTalk(quarantine)
    talk.publish(*resources)
    return talk


def test_a_first_request_is_answered_with_every_resource_and_its_version():
    talk = started(cluster("b"), cluster("a"))

    assert talk.subscribe(CLUSTER).verdict is Verdict.FIRST
    response = talk.told_one()

    assert response.resources == (cluster("a"), cluster("b"))
    assert response.removed_resources == ()
    assert response.nonce


def test_a_wildcard_is_answered_even_if_there_is_nothing():
    for asked in ((), ("*",)):
        talk = started()
        talk.subscribe(LISTENER, *asked)
        response = talk.told_one()

        assert (response.resources, response.removed_resources) == ((), ())


def test_after_an_ack_there_is_silence():
    talk = started(cluster("a"))
    talk.subscribe(CLUSTER)

    received = talk.ack(talk.told_one())

    assert received.verdict is Verdict.ACK
    assert received.accepted == (cluster("a"),)
    assert talk.told() == []
    assert talk.in_sync()


def test_only_what_changed_is_sent():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()

    talk.publish(cluster("a"), cluster("b", "2"), cluster("c"))

    assert talk.told_one().resources == (cluster("b", "2"), cluster("c"))


def test_a_removed_resource_is_told():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()

    talk.publish(cluster("a"))
    response = talk.told_one()

    assert (response.resources, response.removed_resources) == ((), ("b",))

    talk.ack(response)

    assert talk.in_sync()


def test_after_a_nack_there_is_silence_until_the_content_changes():
    talk = started(cluster("a", "bad"))
    talk.subscribe(CLUSTER)

    received = talk.nack(talk.told_one(), "a: no good")

    assert received.verdict is Verdict.NACK
    assert received.refused == (cluster("a", "bad"),)
    assert talk.told() == []
    assert not talk.in_sync()

    talk.publish(cluster("a", "good"))

    assert talk.told_one().resources == (cluster("a", "good"),)


def test_the_others_of_a_refused_response_are_sent_again():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.publish(cluster("a", "bad"), cluster("b", "2"))

    talk.nack(talk.told_one(), "Error adding/updating cluster(s) a: no good")

    assert talk.told_one().resources == (cluster("b", "2"),)


def test_a_nack_that_names_nothing_starts_a_search_for_the_culprit():
    talk = started(*(cluster(name) for name in "abcd"), cluster("e", "bad"))
    talk.subscribe(CLUSTER)
    all_of_them = talk.told_one()
    assert talk.nack(all_of_them, "something is wrong").refused == ()

    groups = talk.told()
    assert [names(response.resources) for response in groups] == [["a", "b"], ["c", "d"], ["e"]]
    for response in groups[:2]:
        talk.ack(response)
    received = talk.nack(groups[2], "something is wrong")

    assert names(received.refused) == ["e"]
    assert talk.told() == []


def test_a_search_goes_on_until_one_is_refused_by_itself():
    talk = started(*(cluster(name) for name in "abc"), cluster("d", "bad"))
    talk.subscribe(CLUSTER)
    talk.nack(talk.told_one())
    good, bad = talk.told()
    talk.ack(good)
    talk.nack(bad)

    groups = talk.told()
    assert [names(response.resources) for response in groups] == [["c"], ["d"]]
    talk.ack(groups[0])
    assert names(talk.nack(groups[1]).refused) == ["d"]
    assert talk.told() == []


def test_a_refused_removal_is_not_repeated():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.publish(cluster("a"))

    talk.nack(talk.told_one())

    assert talk.told() == []


def test_a_subscription_changes_even_with_a_stale_nonce():
    """ "The server must honor changes to the subscription state even if the nonce is stale"."""
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    first = talk.told_one()
    talk.ack(first)

    received = talk.say(DeltaRequest(ENDPOINT, ("b",), response_nonce=first.nonce))

    assert received.verdict is Verdict.STALE
    assert talk.told_one().resources == (endpoints("b"),)


def test_a_nonce_is_answered_once():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    response = talk.told_one()
    talk.ack(response)

    received = talk.nack(response)

    assert received.verdict is Verdict.STALE
    assert talk.in_sync()


def test_each_nonce_is_answered_for_itself():
    talk = started(route("a"), route("b"))
    talk.subscribe(ROUTE, "a", "b")
    first, second = talk.told()

    talk.ack(second)
    assert not talk.in_sync()

    talk.ack(first)
    assert talk.in_sync()


def test_a_subscription_grows_and_shrinks():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    talk.subscribe(ENDPOINT, "b")
    assert talk.settle()[0].resources == (endpoints("b"),)

    talk.unsubscribe(ENDPOINT, "a", "never asked for")
    talk.publish(endpoints("a", "2"), endpoints("b", "2"))
    assert talk.told_one().resources == (endpoints("b", "2"),)


def test_a_subscription_that_becomes_empty_ends_all_updates():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    talk.unsubscribe(ENDPOINT, "a")
    talk.publish(endpoints("a", "2"))

    assert talk.told() == []
    assert talk.in_sync()


def test_what_is_asked_for_again_is_sent_again():
    """ "The client may have forgotten those resources despite apparently remaining subscribed"."""
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    talk.subscribe(ENDPOINT, "a")

    assert talk.told_one().resources == (endpoints("a"),)


def test_what_is_asked_for_again_while_it_is_on_its_way_is_sent_after_the_answer():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    response = talk.told_one()

    talk.subscribe(ENDPOINT, "a")
    assert talk.told() == []

    talk.ack(response)
    assert talk.told_one().resources == (endpoints("a"),)


def test_a_name_that_does_not_exist_is_told_removed_once_and_sent_when_it_exists():
    talk = started()
    talk.subscribe(ENDPOINT, "a")
    response = talk.told_one()

    assert response.removed_resources == ("a",)

    talk.ack(response)
    assert talk.told() == []

    talk.publish(endpoints("a"))
    assert talk.told_one().resources == (endpoints("a"),)


def test_a_name_that_vanishes_before_it_could_be_sent_is_told_removed():
    talk = DeltaTalk()
    talk.session.receive(DeltaRequest(ENDPOINT, ("a",)))
    talk.publish()

    assert talk.told_one().removed_resources == ("a",)


def test_the_legacy_wildcard_stays_beside_names():
    """The incremental example under "How the client specifies what resources to return"."""
    talk = started(cluster("A"), cluster("B"))
    talk.subscribe(CLUSTER)
    talk.settle()

    talk.subscribe(CLUSTER, "A")
    assert names(talk.settle()[0].resources) == ["A"]

    talk.unsubscribe(CLUSTER, "*")
    talk.publish(cluster("A", "2"), cluster("B", "2"))
    assert names(talk.settle()[0].resources) == ["A"]

    talk.unsubscribe(CLUSTER, "A")
    talk.publish(cluster("A", "3"), cluster("B", "3"))
    assert talk.told() == []


def test_a_name_dropped_beside_the_wildcard_is_sent_if_the_wildcard_has_it():
    talk = started(cluster("a"))
    talk.subscribe(CLUSTER, "*", "a", "ghost")
    talk.settle()

    talk.unsubscribe(CLUSTER, "a", "ghost")
    gone, kept = talk.told()

    assert gone.removed_resources == ("ghost",)
    assert kept.resources == (cluster("a"),)


def test_a_wildcard_that_comes_later_brings_the_rest():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER, "a")
    talk.settle()

    talk.subscribe(CLUSTER, "*")

    assert talk.told_one().resources == (cluster("b"),)


def test_no_name_is_not_the_wildcard_for_types_that_are_asked_for_by_name():
    talk = started(route("r"))
    talk.subscribe(ROUTE)

    assert talk.told_one().resources == ()


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


def test_an_unknown_type_is_answered_and_harms_no_other():
    talk = started(cluster("a"))
    talk.subscribe(RUNTIME, "layer")
    assert talk.told_one().removed_resources == ("layer",)

    talk.subscribe(CLUSTER)
    assert names(talk.told_one().resources) == ["a"]


def test_an_unknown_type_without_names_is_answered_empty():
    talk = started()
    talk.subscribe(RUNTIME)

    assert talk.told_one().resources == ()


def test_a_slow_client_skips_versions():
    talk = started(cluster("a", "1"))
    talk.subscribe(CLUSTER)
    first = talk.told_one()
    talk.publish(cluster("a", "2"))
    talk.publish(cluster("a", "3"))

    assert talk.told() == []

    talk.ack(first)

    assert talk.told_one().resources == (cluster("a", "3"),)


def test_what_is_not_on_its_way_does_not_wait_for_a_slow_answer():
    """A cluster that takes long to warm delays its own ACK, not the next edit."""
    talk = started(cluster("slow"))
    talk.subscribe(CLUSTER)
    talk.told_one()

    talk.publish(cluster("slow"), cluster("b"))

    assert talk.told_one().resources == (cluster("b"),)


def test_a_large_answer_is_split():
    body = b"x" * (900 * 1024)
    talk = started(*(resource(CLUSTER, name, body) for name in "abcde"))
    talk.subscribe(CLUSTER)

    assert [names(r.resources) for r in talk.told()] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_resource_larger_than_a_response_should_be_travels_alone():
    talk = started(*(resource(CLUSTER, name, b"x" * 3_000_000) for name in "ab"))
    talk.subscribe(CLUSTER)

    assert [names(r.resources) for r in talk.told()] == [["a"], ["b"]]


def test_a_new_listener_and_the_one_that_goes_travel_together():
    talk = started(listener("old"))
    talk.subscribe(LISTENER)
    talk.settle()

    talk.publish(listener("new"))
    response = talk.told_one()

    assert (names(response.resources), response.removed_resources) == (["new"], ("old",))


def test_what_was_dropped_while_on_its_way_is_not_held():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    response = talk.told_one()
    talk.unsubscribe(ENDPOINT, "a")
    talk.ack(response)

    talk.subscribe(ENDPOINT, "a")

    assert talk.told_one().resources == (endpoints("a"),)


def test_scopes_have_the_legacy_wildcard_too():
    talk = started(*model("m"))
    talk.subscribe(SCOPED_ROUTE)

    assert names(talk.told_one().resources) == ["m"]
