"""What a state-of-the-world session makes of refusals."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.snapshots import (
    cluster,
    endpoints,
    names,
    route,
)
from tests.support.talk import SotwTalk
from xds_server.protocol.events import SotwRequest, Verdict


def started(*resources, quarantine=None, archive=None) -> SotwTalk:
    talk = SotwTalk(quarantine, archive)
    talk.publish(*resources)
    return talk


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
