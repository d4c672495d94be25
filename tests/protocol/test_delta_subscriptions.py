"""What a delta client asks for, and how that changes."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE, SCOPED_ROUTE
from tests.support.snapshots import (
    cluster,
    endpoints,
    model,
    names,
    route,
)
from tests.support.talk import DeltaTalk
from xds_server.protocol.events import DeltaRequest, Verdict


def started(*resources, quarantine=None) -> DeltaTalk:
    talk = DeltaTalk(quarantine)
    talk.publish(*resources)
    return talk


def test_a_subscription_changes_even_with_a_stale_nonce():
    """ "The server must honor changes to the subscription state even if the nonce is stale"."""
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    first = talk.told_one()
    talk.ack(first)

    received = talk.say(DeltaRequest(ENDPOINT, ("b",), response_nonce=first.nonce))

    assert received.verdict is Verdict.STALE
    assert talk.told_one().resources == (endpoints("b"),)


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
