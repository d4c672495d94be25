"""Conversations with a state-of-the-world session, one rule of the xDS protocol page each."""

from __future__ import annotations

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    model,
    names,
    node_snapshot,
    pool,
    route,
)
from tests.support.talk import SotwTalk
from xds_server.protocol.archive import Archive
from xds_server.protocol.events import SotwRequest, Verdict
from xds_server.protocol.quarantine import Quarantine

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


def test_the_others_of_a_refused_response_are_sent_again_with_the_last_accepted_version():
    talk = started(cluster("a", "1"), cluster("b", "1"))
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.publish(cluster("a", "bad"), cluster("b", "2"))

    talk.nack(talk.told_one(), "Error adding/updating cluster(s) a: no good")

    assert talk.told_one().resources == (cluster("a", "1"), cluster("b", "2"))


def test_repeating_a_refused_nonce_is_not_an_ack():
    """After a NACK, a changed subscription carries the same nonce and no error."""
    talk = started(endpoints("a", "bad"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")
    talk.nack(talk.told_one())

    assert talk.subscribe(ENDPOINT, "a", "b").verdict is Verdict.UPDATE

    assert talk.told_one().resources == (endpoints("b"),)
    assert not talk.in_sync()


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


def test_a_stale_nack_is_not_a_nack():
    talk = started(endpoints("a"))
    talk.subscribe(ENDPOINT, "a")
    first = talk.told_one()
    talk.ack(first)
    talk.publish(endpoints("a", "2"))
    talk.told_one()

    stale = SotwRequest(ENDPOINT, ("a",), "", first.nonce, "no")

    assert talk.say(stale).verdict is Verdict.STALE
    assert talk.served().snapshot is talk.desired


def test_a_request_before_the_first_response_replaces_the_one_before_it():
    talk = started(endpoints("a"), endpoints("b"))
    talk.subscribe(ENDPOINT, "a")

    assert talk.subscribe(ENDPOINT, "a", "b").verdict is Verdict.UPDATE

    assert names(talk.told_one().resources) == ["a", "b"]


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


def test_a_refused_removal_is_not_repeated():
    talk = started(cluster("a"), cluster("b"))
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.publish(cluster("a"))

    talk.nack(talk.told_one())

    assert talk.told() == []


def test_routes_travel_one_by_one_and_a_refused_one_harms_only_itself():
    talk = started(route("a"), route("b"), route("c"))
    talk.subscribe(ROUTE, "a", "b", "c")
    responses = talk.told()
    assert [names(r.resources) for r in responses] == [["a"], ["b"], ["c"]]

    talk.ack(responses[0])
    talk.nack(responses[1])
    talk.ack(responses[2])

    assert talk.told() == []

    talk.publish(route("a"), route("b", content="2"), route("c"))

    assert talk.told_one().resources == (route("b", content="2"),)


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


def test_a_nack_that_names_nothing_starts_a_search_for_the_culprit():
    """Envoy does not always name it. What was held stays in every response."""
    talk = started(cluster("a"), cluster("h"))
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.publish(cluster("a", "2"), cluster("b"), cluster("c", "bad"), cluster("h"))
    assert talk.nack(talk.told_one(), "something is wrong").refused == ()

    first = talk.told_one()
    assert first.resources == (cluster("a", "2"), cluster("h"))
    talk.ack(first)

    second = talk.told_one()
    assert second.resources == (cluster("a", "2"), cluster("b"), cluster("h"))
    talk.ack(second)

    third = talk.told_one()
    assert names(third.resources) == ["a", "b", "c", "h"]
    assert names(talk.nack(third, "something is wrong").refused) == ["c"]
    assert talk.told() == []


def test_no_search_takes_away_what_a_client_may_hold():
    talk = started(cluster("a"), cluster("b", "bad"))
    talk.version[CLUSTER] = "of another control plane"
    talk.subscribe(CLUSTER)

    received = talk.nack(talk.told_one(), "something is wrong")

    assert names(received.refused) == ["a", "b"]
    assert talk.told() == []


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


def test_scopes_have_the_legacy_wildcard_too():
    talk = started(*model("m"))
    talk.subscribe(SCOPED_ROUTE)

    assert names(talk.told_one().resources) == ["m"]
