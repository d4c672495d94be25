"""Make before break, in both variants: what waits for what, and what must never wait."""

from __future__ import annotations

import pytest

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, SCOPED_ROUTE
from tests.support.snapshots import cluster, endpoints, listener, model, names, pool, route, scope
from tests.support.talk import DeltaTalk, SotwTalk, Talk, removed


@pytest.fixture(params=[DeltaTalk, SotwTalk], ids=["delta", "sotw"])
def talk(request) -> Talk:
    return request.param()


def start(talk: Talk, *resources) -> None:
    """Start like an Envoy that has been told *resources*, until it is at rest."""
    talk.publish(*resources)
    talk.subscribe(CLUSTER)
    talk.settle()
    talk.subscribe(ENDPOINT, *named(resources, ENDPOINT))
    talk.settle()
    talk.subscribe(LISTENER)
    talk.settle()
    talk.subscribe(SCOPED_ROUTE)
    talk.settle()
    talk.subscribe(ROUTE, *named(resources, ROUTE))
    talk.settle()
    assert talk.in_sync()


def named(resources, type_url) -> list[str]:
    return [r.name for r in resources if r.type_url == type_url]


def types(responses) -> list[str]:
    return [response.type_url for response in responses]


def only(responses, type_url):
    chosen = [response for response in responses if response.type_url == type_url]
    assert len(chosen) == 1, responses
    return chosen[0]


@pytest.mark.parametrize("type_url", PUSH_ORDER)
def test_a_client_of_one_type_is_answered_at_once(talk, type_url):
    talk.publish(*pool("p"), listener("l"), *model("m", "p"))
    talk.subscribe(type_url, *{ENDPOINT: ["p"], ROUTE: ["m"]}.get(type_url, []))

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
    start(talk, *pool("p"))

    talk.publish(cluster("p", "2"), endpoints("p"))
    clusters, follow = talk.told()

    assert clusters.resources == (cluster("p", "2"),)
    assert follow.resources == (endpoints("p"),)


def test_endpoints_do_not_follow_a_cluster_that_did_not_change(talk):
    start(talk, *pool("p"), *pool("q"))

    talk.publish(*pool("p"), cluster("q", "2"), endpoints("q"))

    assert only(talk.told(), ENDPOINT).resources == (endpoints("q"),)


def test_endpoints_that_are_on_their_way_follow_their_changed_cluster_once_more(talk):
    start(talk, *pool("p"))
    talk.publish(cluster("p"), endpoints("p", "2"))
    on_the_way = talk.told_one()
    talk.publish(cluster("p", "2"), endpoints("p", "2"))
    assert types(talk.told()) == [CLUSTER]

    talk.ack(on_the_way)

    assert talk.told_one().resources == (endpoints("p", "2"),)


def test_changed_endpoints_wait_for_nothing(talk):
    start(talk, *pool("p"), *pool("q"))
    talk.publish(*pool("p"), cluster("q", "2"), endpoints("q"))
    talk.told()

    talk.publish(cluster("p"), endpoints("p", "2"), cluster("q", "2"), endpoints("q"))

    assert talk.told_one().resources == (endpoints("p", "2"),)


def test_each_later_type_waits_until_the_earlier_ones_are_answered(talk):
    start(talk, *pool("p"), listener("l"), *model("m", "p"))

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


def test_a_refusal_is_an_answer_too(talk):
    start(talk, *pool("p"), listener("l"), *model("m", "p"))
    talk.publish(*pool("p"), listener("l", "bad"), scope("m", "m"), route("m", "p", content="2"))

    talk.nack(talk.told_one(), "l: no good")

    assert talk.told_one().resources == (route("m", "p", content="2"),)


def test_routes_wait_for_the_endpoints_of_a_new_cluster(talk):
    start(talk, *pool("p"), *model("m", "p"))
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
    start(talk, *pool("p"), *model("m", "p"))

    talk.publish(*pool("p"), cluster("static"), *model("m", "static"))

    assert types(talk.settle())[:2] == [CLUSTER, ROUTE]


def test_nothing_waits_for_a_cluster_that_was_taken_back(talk):
    start(talk, *pool("p"), *model("m", "p"))
    talk.publish(*pool("p"), *pool("q"), *model("m", "q"))
    talk.settle()

    talk.publish(*pool("p"), *model("m", "p", content="2"))

    assert ROUTE in types(talk.settle())
    assert talk.in_sync()


def test_a_refused_cluster_blocks_no_other_route(talk):
    start(talk, *pool("p"), *model("m", "p"), *model("n", "p"))
    talk.publish(
        *pool("p"), *pool("q", "bad"), *model("m", "q"), scope("n", "n"), route("n", "p", "p")
    )

    clusters, unaffected = talk.told()
    talk.nack(clusters, "Error adding/updating cluster(s) q: no good")
    talk.ack(unaffected)

    assert unaffected.resources == (route("n", "p", "p"),)
    assert ROUTE not in types(talk.settle())


def test_a_route_does_not_wait_for_clusters_that_it_does_not_lead_to(talk):
    """A server that hangs can keep its new cluster warming, and the ACK away, for long."""
    start(talk, *pool("p"), *pool("q"), *model("m", "p"), *model("n", "p"))
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


def test_a_route_keeps_its_traffic_while_the_cluster_it_was_to_use_is_refused(talk):
    start(talk, *pool("p"), *model("m", "p"))
    talk.publish(*pool("q", "bad"), *model("m", "q"))

    talk.nack(talk.told()[0], "q: no good")
    told = talk.settle()

    assert ROUTE not in types(told)
    assert not any(removed(response) for response in told)

    talk.publish(*pool("q", "good"), *model("m", "q"))
    talk.ack(talk.told()[0])
    talk.ask_for_more(ENDPOINT, "q")
    told = talk.settle()

    assert only(told, ROUTE).resources == (route("m", "q"),)
    assert told[-1].type_url == CLUSTER
    assert "p" not in names(told[-1].resources)
    assert talk.in_sync()


def test_removals_go_the_other_way_round_after_everything_was_answered():
    talk = DeltaTalk()
    start(talk, *pool("p"), *pool("q"), listener("l"), listener("k"), *model("m"), *model("n"))

    talk.publish(cluster("p"), endpoints("p", "2"), listener("l"), *model("m"))
    changed = talk.told_one()
    assert changed.resources == (endpoints("p", "2"),)
    talk.ack(changed)

    told = talk.settle()
    assert [(r.type_url, r.removed_resources) for r in told] == [
        (LISTENER, ("k",)),
        (SCOPED_ROUTE, ("n",)),
        (ROUTE, ("n",)),
        (ENDPOINT, ("q",)),
        (CLUSTER, ("q",)),
    ]


def test_each_removal_waits_for_the_answer_to_the_one_before():
    talk = DeltaTalk()
    start(talk, *pool("p"), listener("l"), *model("m", "p"))

    talk.publish()

    for type_url in (LISTENER, SCOPED_ROUTE, ROUTE, ENDPOINT, CLUSTER):
        response = talk.told_one()
        assert response.type_url == type_url
        talk.ack(response)
    assert talk.in_sync()


def test_full_states_shrink_in_the_order_of_removals():
    talk = SotwTalk()
    start(talk, *pool("p"), listener("l"), *model("m", "p"))

    talk.publish()

    for type_url in (LISTENER, SCOPED_ROUTE, CLUSTER):
        response = talk.told_one()
        assert response.type_url == type_url
        assert response.resources == ()
        talk.ack(response)
    assert talk.in_sync()


def test_a_cluster_that_comes_back_before_its_removal_is_not_touched(talk):
    start(talk, *pool("p"), *pool("q"), *model("m", "p"))
    talk.publish(*pool("p"), *model("m", "p", content="2"))
    routes = talk.told_one()

    talk.publish(*pool("p"), *pool("q"), *model("m", "p", content="2"))
    talk.ack(routes)

    assert talk.told() == []
    assert talk.in_sync()


def test_a_new_name_is_answered_while_other_types_wait_for_answers(talk):
    """Envoy asks for the routes of a new scope, and a listener warms until they come."""
    start(talk, *pool("p"), listener("l"), *model("m", "p"))
    talk.publish(cluster("p", "2"), endpoints("p"), listener("l"), *model("m", "p"), route("n"))
    talk.told()

    talk.ask_for_more(ROUTE, "n")

    assert talk.told_one().resources == (route("n"),)
