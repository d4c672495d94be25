"""What a client says it holds when it connects."""

import pytest

from snapshots.snapshot import TypeSnapshot
from snapshots.type_urls import CLUSTER
from tests.support.snapshots import cluster
from xds_server.protocol.claims import claims_another, claims_anything
from xds_server.protocol.events import DeltaRequest, SotwRequest

DESIRED = TypeSnapshot.of([cluster("p", "2"), cluster("q")])
INSTEAD = TypeSnapshot.of([cluster("p", "1"), cluster("q")])


def delta(*resources):
    return DeltaRequest(CLUSTER, initial_resource_versions={r.name: r.version for r in resources})


def sotw(of_type):
    return SotwRequest(CLUSTER, version_info=of_type.version if of_type else "")


def is_another(request, withheld=frozenset()):
    return claims_another(request, DESIRED, instead=INSTEAD, withheld=withheld)


@pytest.mark.parametrize(
    "request_",
    [
        delta(),
        delta(cluster("q")),
        delta(cluster("p", "2"), cluster("q")),
        delta(cluster("p", "1"), cluster("q")),
        sotw(None),
        sotw(DESIRED),
        sotw(INSTEAD),
    ],
)
def test_who_holds_what_is_served_or_what_is_served_in_its_place_claims_nothing_else(request_):
    assert not is_another(request_)


@pytest.mark.parametrize(
    "request_", [delta(cluster("p", "3")), delta(cluster("r")), sotw(TypeSnapshot.of([]))]
)
def test_who_holds_something_else_claims_it(request_):
    assert is_another(request_)


def test_what_is_withheld_may_be_held_in_any_version():
    assert not is_another(delta(cluster("p", "3")), withheld={"p"})


def test_who_starts_claims_nothing():
    assert not claims_anything(delta())
    assert not claims_anything(sotw(None))
    assert claims_anything(delta(cluster("p")))
    assert claims_anything(sotw(DESIRED))
