"""Versions are hashes of content: of a resource, a type, a gateway and the fleet."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.snapshot import (
    NO_GATEWAY,
    NodeSnapshot,
    Resource,
    Snapshot,
    TypeSnapshot,
    content_version,
)
from snapshots.type_urls import (
    CLUSTER,
    ENDPOINT,
    FULL_STATE_TYPES,
    LISTENER,
    PUSH_ORDER,
    REMOVAL_ORDER,
    ROUTE,
    SCOPED_ROUTE,
)

A = Resource.of(CLUSTER, "a", b"1")
B = Resource.of(CLUSTER, "b", b"2")


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
@settings(deadline=None)
def test_parts_are_delimited(some, others):
    assert (content_version(some) == content_version(others)) == (some == others)


def test_a_version_is_16_hexadecimal_digits():
    assert content_version([b"abc"]) == content_version([b"abc"])
    assert len(content_version([])) == 16
    assert int(content_version([]), 16) >= 0


def test_a_resources_version_is_that_of_its_name_and_bytes():
    assert Resource.of(CLUSTER, "a", b"1").version == A.version
    assert len({A.version, B.version, Resource.of(CLUSTER, "a", b"2").version}) == 3


def test_the_order_of_resources_does_not_matter():
    assert TypeSnapshot.of([B, A]) == TypeSnapshot.of([A, B])
    assert list(TypeSnapshot.of([B, A]).resources) == ["a", "b"]


def test_a_types_version_changes_with_any_of_its_resources():
    changed = Resource.of(CLUSTER, "b", b"3")
    versions = {TypeSnapshot.of(some).version for some in ([], [A], [A, B], [A, changed])}

    assert len(versions) == 4


def test_a_gateway_holds_every_type_that_is_sent_if_only_empty():
    node = NodeSnapshot.of("default", {CLUSTER: TypeSnapshot.of([A])})

    assert tuple(node.types) == PUSH_ORDER
    assert not node.types[ROUTE].resources
    assert node.version != NodeSnapshot.of("default", {}).version


def test_a_resource_of_another_type_is_another_version_of_the_gateway():
    clusters, listeners = (
        NodeSnapshot.of("default", {url: TypeSnapshot.of([A])}) for url in (CLUSTER, LISTENER)
    )

    assert clusters.version != listeners.version


def test_the_revision_covers_every_gateway_its_name_and_its_nodes():
    one, other = (
        NodeSnapshot.of(gateway, {CLUSTER: TypeSnapshot.of([A])}) for gateway in ("one", "other")
    )
    fleets = [{}, {"*": one}, {"x": one}, {"*": other}, {"*": one, "x": other}]

    assert len({Snapshot.of(nodes).revision for nodes in fleets}) == len(fleets)


def test_the_order_of_gateways_does_not_matter():
    one, other = NodeSnapshot.of("one", {}), NodeSnapshot.of("other", {})

    assert Snapshot.of({"*": one, "x": other}) == Snapshot.of({"x": other, "*": one})


def test_a_node_gets_the_gateway_of_its_cluster_else_that_of_every_other():
    rest, edge = NodeSnapshot.of("rest", {}), NodeSnapshot.of("edge", {})

    assert Snapshot.of({"*": rest, "edge": edge}).for_node("edge") is edge
    assert Snapshot.of({"*": rest, "edge": edge}).for_node("") is rest
    assert Snapshot.of({"edge": edge}).for_node("rest") is NO_GATEWAY


def test_nothing_of_it_can_be_changed():
    snapshot = Snapshot.of({"*": NodeSnapshot.of("default", {CLUSTER: TypeSnapshot.of([A])})})

    with pytest.raises(TypeError):
        snapshot.nodes["*"] = NO_GATEWAY
    with pytest.raises(TypeError):
        snapshot.nodes["*"].types[CLUSTER] = TypeSnapshot.of([])
    with pytest.raises(TypeError):
        snapshot.nodes["*"].types[CLUSTER].resources["a"] = B
    with pytest.raises(dataclasses.FrozenInstanceError):
        A.body = b""


def test_what_is_referred_to_is_sent_first_and_removed_last():
    for referring, referred in ((ROUTE, CLUSTER), (ROUTE, ENDPOINT), (LISTENER, CLUSTER)):
        assert PUSH_ORDER.index(referred) < PUSH_ORDER.index(referring)
        assert REMOVAL_ORDER.index(referring) < REMOVAL_ORDER.index(referred)
    assert REMOVAL_ORDER.index(SCOPED_ROUTE) < REMOVAL_ORDER.index(ROUTE)
    assert set(REMOVAL_ORDER) == set(PUSH_ORDER) > FULL_STATE_TYPES
