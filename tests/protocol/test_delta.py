"""Conversations with a delta session, one rule of the xDS protocol page each."""

from __future__ import annotations

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.support.snapshots import (
    cluster,
    endpoints,
    listener,
    names,
    resource,
    route,
)
from tests.support.talk import DeltaTalk
from xds_server.protocol.delta import GROUP, MANY
from xds_server.protocol.events import Verdict

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


@pytest.mark.parametrize(("count", "responses"), [(MANY, MANY), (MANY + 1, 1), (2 * GROUP, 2)])
def test_routes_travel_one_by_one_unless_they_are_many(count, responses):
    routes = [route(f"r{number:03}") for number in range(count)]
    talk = DeltaTalk()
    talk.publish(*routes)

    talk.subscribe(ROUTE, *(one.name for one in routes))
    told = talk.told()

    assert len(told) == responses
    assert [one for response in told for one in response.resources] == routes
