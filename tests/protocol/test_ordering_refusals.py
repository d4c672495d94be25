"""What waits for what while something is refused, in both variants."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.snapshots import listener, model, names, pool, route, scope
from tests.support.talk import only, removed, start_like_envoy, types


def test_a_refusal_is_an_answer_too(talk):
    start_like_envoy(talk, *pool("p"), listener("l"), *model("m", "p"))
    talk.publish(*pool("p"), listener("l", "bad"), scope("m", "m"), route("m", "p", content="2"))

    talk.nack(talk.told_one(), "l: no good")

    assert talk.told_one().resources == (route("m", "p", content="2"),)


def test_a_refused_cluster_blocks_no_other_route(talk):
    start_like_envoy(talk, *pool("p"), *model("m", "p"), *model("n", "p"))
    talk.publish(
        *pool("p"), *pool("q", "bad"), *model("m", "q"), scope("n", "n"), route("n", "p", "p")
    )

    clusters, unaffected = talk.told()
    talk.nack(clusters, "Error adding/updating cluster(s) q: no good")
    talk.ack(unaffected)

    assert unaffected.resources == (route("n", "p", "p"),)
    assert ROUTE not in types(talk.settle())


def test_a_route_keeps_its_traffic_while_the_cluster_it_was_to_use_is_refused(talk):
    start_like_envoy(talk, *pool("p"), *model("m", "p"))
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
