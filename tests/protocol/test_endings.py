"""A client leaves every route that leads to servers before these get no new requests."""

from __future__ import annotations

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from tests.support.snapshots import (
    cluster,
    draining,
    endpoints,
    listener,
    model,
    node_snapshot,
    pool,
    route,
    scope,
)
from tests.support.talk import DeltaTalk, SotwTalk, Talk, only, start_like_envoy, types

BEFORE = (*pool("old"), *pool("new"), listener("l"), *model("m", "old"))
AFTERWARDS = (
    cluster("old"),
    draining("old"),
    *pool("new"),
    listener("l"),
    *model("m", "new", content="2"),
)


def test_servers_that_leave_get_requests_until_the_route_has_been_taken(talk: Talk):
    start_like_envoy(talk, *BEFORE)

    talk.publish(*AFTERWARDS)
    routes = talk.told_one()
    assert routes.type_url == ROUTE
    assert talk.told() == []
    talk.ack(routes)

    servers = talk.told_one()
    assert servers.resources == (draining("old"),)
    assert not talk.in_sync()
    talk.ack(servers)
    assert talk.in_sync()


def test_a_refused_route_leaves_its_servers_as_they_are(talk: Talk):
    start_like_envoy(talk, *BEFORE)

    talk.publish(*AFTERWARDS)
    talk.nack(talk.told_one(), "m")

    assert ENDPOINT not in types(talk.settle())
    assert not talk.in_sync()


def test_a_client_that_starts_is_told_servers_that_leave_as_they_were_at_first(talk: Talk):
    """Else its cluster would wait for servers, and the routes for what is said of it."""
    talk.publish(*AFTERWARDS)
    names = {ENDPOINT: ("old", "new"), ROUTE: ("m",)}
    told = []
    for type_url in (CLUSTER, ENDPOINT, LISTENER, SCOPED_ROUTE, ROUTE):
        talk.subscribe(type_url, *names.get(type_url, ()))
        told += talk.settle()

    of_old = [r for one in told if one.type_url == ENDPOINT for r in one.resources]
    assert endpoints("old") in of_old
    assert of_old[-1] == draining("old")
    assert talk.in_sync()


def test_a_client_that_comes_back_with_an_older_route_leaves_it_before_its_servers_go():
    talk = DeltaTalk()
    talk.publish(*AFTERWARDS)
    both = {name: endpoints(name).version for name in ("old", "new")}
    talk.resume(CLUSTER, "*", holding={name: cluster(name).version for name in ("old", "new")})
    talk.resume(ENDPOINT, "old", "new", holding=both)
    probe = talk.told()
    assert [response.resources for response in probe] == [()]
    talk.resume(LISTENER, "*", holding={"l": listener("l").version})
    talk.resume(SCOPED_ROUTE, "*", holding={"m": scope("m", "m").version})
    talk.resume(ROUTE, "m", holding={"m": route("m", "old").version})
    talk.ack(probe[0])

    routes = talk.told_one()
    assert routes.resources == (route("m", "new", content="2"),)
    talk.ack(routes)
    assert talk.told_one().resources == (draining("old"),)


def test_a_client_that_comes_back_to_a_control_plane_which_does_not_know_it_keeps_its_servers():
    talk = SotwTalk()
    before = node_snapshot(*BEFORE)
    talk.publish(*AFTERWARDS)
    talk.version = {url: before.types[url].version for url in before.types}
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("old", "new")), (LISTENER, ())):
        talk.subscribe(type_url, *names)
    for type_url, names in ((SCOPED_ROUTE, ()), (ROUTE, ("m",))):
        talk.subscribe(type_url, *names)

    first = talk.settle()
    told = [(one.type_url, resource) for one in first for resource in one.resources]

    assert told.index((ROUTE, route("m", "new", content="2"))) < told.index(
        (ENDPOINT, draining("old"))
    )
    assert talk.in_sync()


def test_a_pool_that_is_back_before_its_servers_ended_was_never_touched(talk: Talk):
    start_like_envoy(talk, *BEFORE)
    talk.publish(*AFTERWARDS)
    routes = talk.told_one()

    talk.publish(*pool("old"), *pool("new"), listener("l"), *model("m", "new", content="2"))
    talk.ack(routes)

    assert talk.told() == []
    assert talk.in_sync()


def test_a_pool_that_is_back_gets_requests_before_a_route_leads_there(talk: Talk):
    start_like_envoy(talk, *BEFORE)
    talk.publish(*AFTERWARDS)
    talk.settle()

    talk.publish(*BEFORE)
    servers = talk.told_one()
    talk.ack(servers)

    assert servers.resources == (endpoints("old"),)
    assert only(talk.told(), ROUTE).resources == (route("m", "old"),)


def test_servers_that_left_once_leave_in_their_turn_the_next_time(talk: Talk):
    start_like_envoy(talk, *BEFORE)
    for content in ("2", "3"):
        talk.publish(*BEFORE)
        talk.settle()
        talk.publish(*AFTERWARDS[:-2], *model("m", "new", content=content))

        assert types(talk.settle()) == [ROUTE, ENDPOINT]


def test_servers_that_are_refused_as_they_were_are_told_as_they_are(talk: Talk):
    start_like_envoy(talk, *pool("new"), listener("l"), *model("m", "new"))
    leaving = (cluster("old"), draining("old"))
    talk.publish(*pool("new"), listener("l"), *model("m", "new"), *leaving)
    clusters = talk.told_one()
    talk.ask_for_more(ENDPOINT, "old")
    talk.ack(clusters)
    talk.nack(talk.told_one(), "old")

    told = talk.told_one()
    assert told.resources == (draining("old"),)
    talk.ack(told)
    assert talk.told() == []
