"""Removals go the other way round, after everything that used what goes."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from tests.support.snapshots import cluster, endpoints, listener, model, pool
from tests.support.talk import DeltaTalk, SotwTalk, start_like_envoy


def test_removals_go_the_other_way_round_after_everything_was_answered():
    talk = DeltaTalk()
    start_like_envoy(
        talk, *pool("p"), *pool("q"), listener("l"), listener("k"), *model("m"), *model("n")
    )

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
    start_like_envoy(talk, *pool("p"), listener("l"), *model("m", "p"))

    talk.publish()

    for type_url in (LISTENER, SCOPED_ROUTE, ROUTE, ENDPOINT, CLUSTER):
        response = talk.told_one()
        assert response.type_url == type_url
        talk.ack(response)
    assert talk.in_sync()


def test_full_states_shrink_in_the_order_of_removals():
    talk = SotwTalk()
    start_like_envoy(talk, *pool("p"), listener("l"), *model("m", "p"))

    talk.publish()

    for type_url in (LISTENER, SCOPED_ROUTE, CLUSTER):
        response = talk.told_one()
        assert response.type_url == type_url
        assert response.resources == ()
        talk.ack(response)
    assert talk.in_sync()


def test_a_cluster_that_comes_back_before_its_removal_is_not_touched(talk):
    start_like_envoy(talk, *pool("p"), *pool("q"), *model("m", "p"))
    talk.publish(*pool("p"), *model("m", "p", content="2"))
    routes = talk.told_one()

    talk.publish(*pool("p"), *pool("q"), *model("m", "p", content="2"))
    talk.ack(routes)

    assert talk.told() == []
    assert talk.in_sync()
