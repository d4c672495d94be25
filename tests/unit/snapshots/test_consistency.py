"""A reference that leads nowhere is refused, and so is what nothing refers to."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from snapshots.build import SnapshotBuilder
from snapshots.consistency import InconsistentSnapshotError, check_consistency, references
from snapshots.snapshot import Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE
from tests.support.registries import registry
from tests.support.snapshots import endpoints, model, node_snapshot, route, scope


def cluster(name: str, kind: int = Cluster.EDS) -> Resource:
    body = Cluster(name=name, type=kind).SerializeToString()
    return Resource.of(CLUSTER, name, body)


def split(name: str, *clusters: str) -> Resource:
    message = RouteConfiguration(name=name)
    route = message.virtual_hosts.add(name="all", domains=["*"]).routes.add().route
    for share in clusters:
        route.weighted_clusters.clusters.add(name=share)
    return Resource.of(ROUTE, name, message.SerializeToString())


WHOLE = (cluster("p"), endpoints("p"), *model("m", "p"))


def test_a_whole_snapshot_passes():
    check_consistency(node_snapshot(*WHOLE))


def test_an_empty_snapshot_passes():
    check_consistency(node_snapshot())


def test_a_pool_may_wait_for_its_first_route():
    check_consistency(node_snapshot(*WHOLE, cluster("idle"), endpoints("idle")))


def test_a_cluster_that_envoy_resolves_itself_has_no_load_assignment():
    check_consistency(node_snapshot(*WHOLE, cluster("dns", Cluster.STRICT_DNS)))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            (cluster("p"), *model("m", "p")),
            "gateway default: ClusterLoadAssignment p is referred to but missing",
        ),
        (
            (*WHOLE, endpoints("q")),
            "gateway default: ClusterLoadAssignment q is there but nothing refers to it",
        ),
        (
            (*WHOLE, cluster("dns", Cluster.STRICT_DNS), endpoints("dns")),
            "gateway default: ClusterLoadAssignment dns is there but nothing refers to it",
        ),
        (
            (*WHOLE, scope("n", "n")),
            "gateway default: RouteConfiguration n is referred to but missing",
        ),
        (
            (*WHOLE, route("n", "p")),
            "gateway default: RouteConfiguration n is there but nothing refers to it",
        ),
        (
            model("m", "p", "q"),
            "gateway default: Cluster p, q is referred to but missing",
        ),
        (
            (*WHOLE, scope("n", "n"), split("n", "p", "gone")),
            "gateway default: Cluster gone is referred to but missing",
        ),
    ],
)
def test_a_broken_reference_is_refused_by_its_name(resources, message):
    with pytest.raises(InconsistentSnapshotError) as refused:
        check_consistency(node_snapshot(*resources))

    assert str(refused.value) == message


def test_the_gateway_is_named():
    with pytest.raises(InconsistentSnapshotError, match="gateway edge: "):
        check_consistency(node_snapshot(cluster("p"), gateway="edge"))


def test_what_a_resource_refers_to_is_read_from_its_bytes():
    text = """
    pools: {a: {endpoints: [10.0.0.1:1]}, b: {endpoints: [b.example.com:1]}}
    models: {m: {split: {a: 1, b: 0}}}
    """
    types = SnapshotBuilder().build(registry(text)).for_node("any").types

    assert references(types[CLUSTER].resources["pool/a"]) == ((ENDPOINT, "pool/a"),)
    assert references(types[CLUSTER].resources["pool/b"]) == ()
    assert references(types[SCOPED_ROUTE].resources["model/m"]) == ((ROUTE, "model/m"),)
    assert references(types[ROUTE].resources["model/m"]) == (
        (CLUSTER, "pool/a"),
        (CLUSTER, "pool/b"),
    )
    assert references(types[LISTENER].resources["gateway/default"]) == ()
