"""What a state-of-the-world client asks for, and how that changes."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE, SCOPED_ROUTE
from tests.support.snapshots import (
    cluster,
    endpoints,
    model,
    names,
    route,
)
from tests.support.talk import SotwTalk
from xds_server.protocol.events import SotwRequest, Verdict


def started(*resources, quarantine=None, archive=None) -> SotwTalk:
    talk = SotwTalk(quarantine, archive)
    talk.publish(*resources)
    return talk


def test_a_subscription_that_grows_brings_only_the_new_resource():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    talk.subscribe(ENDPOINT, "a", "b")

    assert talk.told_one().resources == (endpoints("b"),)


def test_a_subscription_that_grows_within_an_ack_is_answered():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    response = talk.told_one()

    talk.names[ENDPOINT] = ("a", "b")
    talk.ack(response)

    assert talk.told_one().resources == (endpoints("b"),)


def test_a_subscription_that_shrinks_ends_the_updates_of_what_was_dropped():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a", "b")
    talk.settle()

    talk.subscribe(ENDPOINT, "a")
    talk.publish(endpoints("a"), endpoints("b", "2"))

    assert talk.told() == []
    assert talk.in_sync()


def test_a_subscription_that_becomes_empty_ends_all_updates():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    talk.subscribe(ENDPOINT)
    talk.publish(endpoints("a", "2"))

    assert talk.told() == []


def test_what_is_asked_for_again_is_sent_again():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a", "b")
    talk.settle()
    talk.subscribe(ENDPOINT, "b")

    talk.subscribe(ENDPOINT, "a", "b")

    assert talk.told_one().resources == (endpoints("a"),)


def test_a_name_that_does_not_exist_is_answered_once_and_sent_when_it_does():
    talk = started()
    talk.subscribe(ENDPOINT, "a")

    assert talk.told_one().resources == ()

    talk.settle()
    talk.publish(endpoints("a"))

    assert talk.told_one().resources == (endpoints("a"),)


def test_no_name_is_the_wildcard_only_until_a_name_was_given():
    """The example under "How the client specifies what resources to return"."""
    talk = started(cluster("A"), cluster("B"))
    talk.subscribe(CLUSTER)
    assert names(talk.told_one().resources) == ["A", "B"]
    talk.nonce[CLUSTER] = "1"

    talk.subscribe(CLUSTER, "*", "A")
    assert names(talk.told_one().resources) == ["A", "B"]
    talk.nonce[CLUSTER] = "2"

    talk.subscribe(CLUSTER, "A")
    talk.publish(cluster("A"), cluster("B", "2"))
    assert talk.told() == []

    talk.subscribe(CLUSTER)
    talk.publish(cluster("A", "2"), cluster("B", "3"))
    assert talk.told() == []


def test_no_name_is_not_the_wildcard_for_types_that_are_asked_for_by_name():
    talk = started(route("r"))
    talk.subscribe(ROUTE)

    assert talk.told_one().resources == ()


def test_a_named_cluster_that_does_not_exist_is_answered_with_those_that_do():
    talk = started(cluster("a"))
    talk.subscribe(CLUSTER, "a", "ghost")

    assert names(talk.told_one().resources) == ["a"]


def test_scopes_have_the_legacy_wildcard_too():
    talk = started(*model("m"))
    talk.subscribe(SCOPED_ROUTE)

    assert names(talk.told_one().resources) == ["m"]


def test_what_was_dropped_and_asked_for_again_while_a_response_came_is_sent_again():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a", "b")
    first = talk.told_one()
    talk.ack(first)
    talk.publish(endpoints("a"), endpoints("b"))
    second = talk.told_one()

    for asked in ((), ("a",)):  # before the client has seen the second response
        request = SotwRequest(ENDPOINT, asked, first.version_info, first.nonce)
        assert talk.say(request).verdict is Verdict.STALE
    talk.say(SotwRequest(ENDPOINT, ("a",), second.version_info, second.nonce))

    assert talk.told_one().resources == (endpoints("a"),)
