"""How much goes into one response."""

from snapshots.type_urls import CLUSTER, ENDPOINT, ROUTE
from tests.support.snapshots import resource
from xds_server.protocol.batch import MAX_RESPONSE_BYTES, batch


def some(type_url, count, size=10):
    return [resource(type_url, f"r{n}", b"x" * size) for n in range(count)]


def test_small_resources_travel_together():
    assert len(batch(CLUSTER, some(CLUSTER, 5000))) == 5000


def test_no_response_is_larger_than_the_bound():
    chosen = batch(CLUSTER, some(CLUSTER, 10, MAX_RESPONSE_BYTES // 3))

    assert len(chosen) == 2


def test_a_resource_larger_than_the_bound_travels_alone():
    assert len(batch(CLUSTER, some(CLUSTER, 3, MAX_RESPONSE_BYTES * 2))) == 1


def test_routes_travel_alone_and_endpoints_by_the_hundred():
    assert len(batch(ROUTE, some(ROUTE, 3))) == 1
    assert len(batch(ENDPOINT, some(ENDPOINT, 250))) == 100


def test_nothing_gives_nothing():
    assert batch(CLUSTER, []) == ()


def test_no_more_is_looked_at_than_fits():
    routes = iter(some(ROUTE, 3))

    batch(ROUTE, routes)

    assert len(list(routes)) == 2
