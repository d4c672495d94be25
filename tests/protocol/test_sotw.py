"""Conversations with a state-of-the-world session, one rule of the xDS protocol page each."""

from __future__ import annotations

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    model,
    names,
    pool,
    route,
)
from tests.support.talk import SotwTalk
from xds_server.protocol.events import SotwRequest, Verdict

RUNTIME = TypeUrl("type.googleapis.com/envoy.service.runtime.v3.Runtime")


def started(*resources, quarantine=None, archive=None) -> SotwTalk:
    talk = SotwTalk(quarantine, archive)
    talk.publish(*resources)
    return talk


def test_a_first_request_is_answered_with_the_whole_type_and_its_version():
    talk = started(cluster("b"), cluster("a"))

    assert talk.subscribe(CLUSTER).verdict is Verdict.FIRST
    response = talk.told_one()

    assert names(response.resources) == ["a", "b"]
    assert response.version_info == TypeSnapshot.of([cluster("a"), cluster("b")]).version
    assert response.nonce


def test_a_wildcard_is_answered_even_if_there_is_nothing():
    talk = started()
    talk.subscribe(LISTENER)

    assert talk.told_one().resources == ()


def test_after_an_ack_there_is_silence():
    talk = started(cluster("a"))
    talk.subscribe(CLUSTER)

    received = talk.ack(talk.told_one())

    assert received.verdict is Verdict.ACK
    assert received.accepted == (cluster("a"),)
    assert talk.told() == []
    assert talk.in_sync()


def test_before_the_first_snapshot_nothing_is_said():
    talk = SotwTalk()
    talk.session.receive(SotwRequest(CLUSTER))

    assert talk.told() == []

    talk.publish(cluster("a"))

    assert names(talk.told_one().resources) == ["a"]


def test_repeating_an_accepted_nonce_is_not_a_second_ack():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    talk.ack(talk.told_one())

    assert talk.subscribe(ENDPOINT, "a").verdict is Verdict.UPDATE
    assert talk.told() == []


def test_a_stale_nonce_changes_nothing():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    first = talk.told_one()
    talk.ack(first)
    talk.publish(endpoints("a", "2"), endpoints("b"))
    second = talk.told_one()

    stale = SotwRequest(ENDPOINT, ("b",), first.version_info, first.nonce)

    assert talk.say(stale).verdict is Verdict.STALE
    assert talk.told() == []

    talk.ack(second)

    assert talk.in_sync()


def test_a_nonce_never_given_changes_nothing():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    talk.settle()

    assert talk.say(SotwRequest(ENDPOINT, ("b",), "", "never")).verdict is Verdict.STALE
    assert talk.told() == []


def test_a_request_before_the_first_response_replaces_the_one_before_it():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")

    assert talk.subscribe(ENDPOINT, "a", "b").verdict is Verdict.UPDATE

    assert names(talk.told_one().resources) == ["a", "b"]


def test_a_removed_cluster_is_left_out_of_the_next_full_state():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()

    talk.publish(cluster("a"))
    response = talk.told_one()

    assert response.resources == (cluster("a"),)

    talk.ack(response)

    assert talk.in_sync()


def test_removed_endpoints_are_not_mentioned():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a", "b")
    talk.settle()

    talk.publish(endpoints("a"))

    assert talk.told() == []
    assert talk.in_sync()


def test_a_cluster_that_goes_stays_in_the_full_state_until_no_route_needs_it():
    talk = started(*pool("old"), *model("m", "old"), listener("l"))
    for type_url, asked in ((CLUSTER, ()), (ENDPOINT, ("old",)), (ROUTE, ("m",))):
        talk.subscribe(type_url, *asked)
    talk.settle()
    talk.publish(*pool("new"), *model("m", "new"), listener("l"))

    union = talk.told_one()
    assert names(union.resources) == ["new", "old"]
    assert union.version_info == TypeSnapshot.of(union.resources).version

    talk.ack(union)
    assert talk.told() == []

    talk.subscribe(ENDPOINT, "old", "new")
    talk.ack(talk.told_one())
    routes = talk.told_one()
    assert routes.resources == (route("m", "new"),)

    talk.ack(routes)
    final = talk.told_one()
    assert final.type_url == CLUSTER
    assert names(final.resources) == ["new"]


def test_an_ack_that_was_held_back_answers_what_was_sent_before_it():
    """Envoy folds the answers of a paused type into one that carries the last nonce."""
    talk = started(route("a"), route("b"))
    talk.subscribe(ROUTE, "a", "b")
    _first, second = talk.told()

    talk.ack(second)

    assert talk.in_sync()


def test_many_routes_are_sent_within_a_window():
    talk = started(*(route(f"r{n}") for n in range(150)))
    talk.subscribe(ROUTE, *(f"r{n}" for n in range(150)))

    responses = talk.told()
    assert len(responses) == 100

    talk.ack(responses[0])
    assert len(talk.told()) == 1

    talk.ack(responses[9])
    assert len(talk.told()) == 9


def test_an_unknown_type_is_answered_empty_and_harms_no_other():
    talk = started(cluster("a"))
    talk.subscribe(RUNTIME, "layer")

    assert talk.told_one().resources == ()

    talk.subscribe(CLUSTER)

    assert names(talk.told_one().resources) == ["a"]


def test_a_slow_client_skips_versions():
    talk = started(cluster("a", "1"))
    talk.subscribe(CLUSTER)
    first = talk.told_one()
    talk.publish(cluster("a", "2"))
    talk.publish(cluster("a", "3"))

    assert talk.told() == []

    talk.ack(first)

    assert talk.told_one().resources == (cluster("a", "3"),)


def test_a_new_listener_may_take_the_address_of_one_that_goes():
    """Two listeners on one address would be refused, so no union is sent."""
    talk = started(listener("old"))
    talk.subscribe(LISTENER)
    talk.settle()

    talk.publish(listener("new"))

    assert names(talk.told_one().resources) == ["new"]
