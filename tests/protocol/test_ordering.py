"""Make before break, in both variants: what waits for what, and what must never wait."""

from __future__ import annotations

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, SCOPED_ROUTE, SECRET
from tests.support.snapshots import cluster, endpoints, listener, model, pool, route, scope, secret
from tests.support.talk import only, start_like_envoy, types


@pytest.mark.parametrize("type_url", PUSH_ORDER)
def test_a_client_of_one_type_is_answered_at_once(talk, type_url):
    talk.publish(*pool("p"), listener("l"), *model("m", "p"), secret("s"))
    names = {ENDPOINT: ["p"], ROUTE: ["m"], SECRET: ["s"]}
    talk.subscribe(type_url, *names.get(type_url, []))

    assert len(talk.told_one().resources) == 1


@pytest.mark.parametrize("order", [PUSH_ORDER, PUSH_ORDER[::-1]])
def test_an_envoy_that_starts_is_answered_at_once_whatever_it_left_unanswered(talk, order):
    talk.publish(*pool("p"), listener("l"), *model("m", "p"))
    for type_url in order:
        talk.subscribe(type_url, *{ENDPOINT: ["p"], ROUTE: ["m"]}.get(type_url, []))
        assert type_url in types(talk.told())


def test_requests_that_came_together_are_answered_in_push_order(talk):
    talk.publish(*pool("p"), listener("l"), *model("m", "p"))
    for type_url in PUSH_ORDER[::-1]:
        talk.subscribe(type_url, *{ENDPOINT: ["p"], ROUTE: ["m"]}.get(type_url, []))

    assert types(talk.told()) == list(PUSH_ORDER)


def test_endpoints_follow_a_changed_cluster_even_if_they_did_not_change(talk):
    """Envoy withholds its ACK of the cluster until they come, so they must not wait for it."""
    start_like_envoy(talk, *pool("p"))

    talk.publish(cluster("p", "2"), endpoints("p"))
    clusters, follow = talk.told()

    assert clusters.resources == (cluster("p", "2"),)
    assert follow.resources == (endpoints("p"),)


def test_endpoints_do_not_follow_a_cluster_that_did_not_change(talk):
    start_like_envoy(talk, *pool("p"), *pool("q"))

    talk.publish(*pool("p"), cluster("q", "2"), endpoints("q"))

    assert only(talk.told(), ENDPOINT).resources == (endpoints("q"),)


def test_endpoints_that_are_on_their_way_follow_their_changed_cluster_once_more(talk):
    start_like_envoy(talk, *pool("p"))
    talk.publish(cluster("p"), endpoints("p", "2"))
    on_the_way = talk.told_one()
    talk.publish(cluster("p", "2"), endpoints("p", "2"))
    assert types(talk.told()) == [CLUSTER]

    talk.ack(on_the_way)

    assert talk.told_one().resources == (endpoints("p", "2"),)


def test_changed_endpoints_wait_for_nothing(talk):
    start_like_envoy(talk, *pool("p"), *pool("q"))
    talk.publish(*pool("p"), cluster("q", "2"), endpoints("q"))
    talk.told()

    talk.publish(cluster("p"), endpoints("p", "2"), cluster("q", "2"), endpoints("q"))

    assert talk.told_one().resources == (endpoints("p", "2"),)


def test_each_later_type_waits_until_the_earlier_ones_are_answered(talk):
    start_like_envoy(talk, *pool("p"), listener("l"), *model("m", "p"))

    talk.publish(
        cluster("p", "2"),
        endpoints("p", "2"),
        listener("l", "2"),
        scope("m", "m", "2"),
        route("m", "p", content="2"),
    )

    first = talk.told()
    assert types(first) == [CLUSTER, ENDPOINT]
    talk.ack(first[0])
    assert talk.told() == []
    talk.ack(first[1])
    for type_url in (LISTENER, SCOPED_ROUTE, ROUTE):
        response = talk.told_one()
        assert response.type_url == type_url
        talk.ack(response)
    assert talk.in_sync()


def test_routes_wait_for_the_endpoints_of_a_new_cluster(talk):
    start_like_envoy(talk, *pool("p"), *model("m", "p"))
    talk.publish(*pool("p"), *pool("q"), *model("m", "q"))

    talk.ack(talk.told_one())
    assert talk.told() == []

    talk.ask_for_more(ENDPOINT, "q")
    answer = talk.told_one()
    assert answer.resources == (endpoints("q"),)
    talk.ack(answer)

    assert talk.told_one().resources == (route("m", "q"),)


def test_routes_do_not_wait_for_endpoints_that_the_client_never_asks_for(talk):
    talk.publish(*pool("p"), route("m", "p"))
    talk.subscribe(CLUSTER)
    talk.subscribe(ROUTE, "m")
    talk.settle()

    talk.publish(*pool("p"), *pool("q"), route("m", "q"))

    assert types(talk.settle()) == [CLUSTER, ROUTE]


def test_routes_do_not_wait_for_a_cluster_that_has_no_endpoints_to_send(talk):
    start_like_envoy(talk, *pool("p"), *model("m", "p"))

    talk.publish(*pool("p"), cluster("static"), *model("m", "static"))

    assert types(talk.settle())[:2] == [CLUSTER, ROUTE]


def test_nothing_waits_for_a_cluster_that_was_taken_back(talk):
    start_like_envoy(talk, *pool("p"), *model("m", "p"))
    talk.publish(*pool("p"), *pool("q"), *model("m", "q"))
    talk.settle()

    talk.publish(*pool("p"), *model("m", "p", content="2"))

    assert ROUTE in types(talk.settle())
    assert talk.in_sync()


def test_a_route_does_not_wait_for_clusters_that_it_does_not_lead_to(talk):
    """A server that hangs can keep its new cluster warming, and the ACK away, for long."""
    start_like_envoy(talk, *pool("p"), *pool("q"), *model("m", "p"), *model("n", "p"))
    talk.publish(
        *pool("p"), *pool("q"), *pool("hangs"), *model("m", "hangs"), scope("n", "n"),
        route("n", "q"),
    )  # fmt: skip

    told = talk.told()

    assert types(told) == [CLUSTER, ROUTE]
    assert told[1].resources == (route("n", "q"),)

    for response in told:
        talk.ack(response)
    talk.ask_for_more(ENDPOINT, "hangs")

    assert only(talk.settle(), ROUTE).resources == (route("m", "hangs"),)


def test_a_new_name_is_answered_while_other_types_wait_for_answers(talk):
    """Envoy asks for the routes of a new scope, and a listener warms until they come."""
    start_like_envoy(talk, *pool("p"), listener("l"), *model("m", "p"))
    talk.publish(cluster("p", "2"), endpoints("p"), listener("l"), *model("m", "p"), route("n"))
    talk.told()

    talk.ask_for_more(ROUTE, "n")

    assert talk.told_one().resources == (route("n"),)
