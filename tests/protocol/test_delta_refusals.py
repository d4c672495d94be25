"""What a delta session makes of refusals."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, LISTENER, ROUTE
from tests.support.snapshots import (
    cluster,
    listener,
    names,
    route,
)
from tests.support.talk import DeltaTalk
from xds_server.protocol.delta import MANY
from xds_server.protocol.events import Verdict


def started(*resources, quarantine=None) -> DeltaTalk:
    talk = DeltaTalk(quarantine)
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


def test_what_a_refused_response_may_have_removed_is_sent_again():
    talk = started(listener("l"))
    talk.subscribe(LISTENER)
    talk.settle()
    talk.publish(listener("k", "bad"))
    both = talk.told_one()
    talk.publish(listener("k", "bad"), listener("l"))

    talk.nack(both, "k: no good")

    assert talk.told_one().resources == (listener("l"),)


def test_a_refused_route_among_many_is_found_and_the_others_are_taken():
    many = [route(f"r{number:03}") for number in range(MANY + 8)]
    bad = route("r020", content="bad")
    talk = started(*(bad if one.name == bad.name else one for one in many))
    talk.subscribe(ROUTE, *(one.name for one in many))
    [group] = talk.told()
    assert len(group.resources) == len(many)

    refused = [talk.nack(group, "something is wrong")]
    while responses := talk.told():
        for response in responses:
            if bad in response.resources:
                refused.append(talk.nack(response, "something is wrong"))
            else:
                talk.ack(response)

    assert [names(received.refused) for received in refused if received.refused] == [["r020"]]
    assert len(refused) <= 7
