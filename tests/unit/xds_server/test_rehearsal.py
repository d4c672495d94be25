"""What a rehearsed edit costs is what the protocol sends."""

from __future__ import annotations

from snapshots.build import SnapshotBuilder
from snapshots.registry.loader import load_registry
from snapshots.snapshot import NO_GATEWAY, NodeSnapshot
from snapshots.type_urls import CLUSTER, ROUTE
from xds_server.rehearsal import rehearse

REGISTRY = """\
version: 1
pools:
  a: {endpoints: [10.0.0.1:8000]}
  b: {endpoints: [10.0.0.2:8000]}
models:
  one: {pool: a}
  two: {split: {a: 70, b: 30}}
"""


def node(*edits: tuple[str, str]) -> NodeSnapshot:
    text = REGISTRY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return SnapshotBuilder().build(load_registry(text.encode(), "r")).for_node("any")


def test_nothing_is_sent_for_no_change():
    traffic = rehearse(node(), node())

    assert {variant: t.sent_bytes for variant, t in traffic.items()} == {"delta": 0, "sotw": 0}


def test_a_weight_costs_one_route_configuration_in_both_variants():
    old, new = node(), node(("a: 70", "a: 60"))

    traffic = rehearse(old, new)

    body = len(new.types[ROUTE].resources["model/two"].body)
    for told in traffic.values():
        assert told.responses == 1
        assert body < told.sent_bytes < body + 300


def test_a_changed_cluster_costs_its_endpoints_too_and_in_sotw_all_clusters():
    old, new = node(), node(("a: {", "a: {max_requests: 7, "))

    traffic = rehearse(old, new)

    clusters = {name: len(r.body) for name, r in new.types[CLUSTER].resources.items()}
    assert traffic["delta"].responses == traffic["sotw"].responses == 2
    assert clusters["pool/a"] < traffic["delta"].sent_bytes < traffic["sotw"].sent_bytes
    assert sum(clusters.values()) < traffic["sotw"].sent_bytes


def test_what_is_removed_is_sent_as_names_in_delta():
    old, new = node(), node(("  two: {split: {a: 70, b: 30}}\n", ""))

    traffic = rehearse(old, new)

    assert 0 < traffic["delta"].sent_bytes < traffic["sotw"].sent_bytes


def test_an_envoy_that_had_nothing_is_sent_everything():
    new = node()

    traffic = rehearse(NO_GATEWAY, new)

    everything = sum(len(r.body) for t in new.types.values() for r in t.resources.values())
    assert all(told.sent_bytes > everything for told in traffic.values())
