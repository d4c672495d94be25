"""What an edit costs: exactly the resources that it changes are built and sent anew."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from snapshots.build import SnapshotBuilder
from snapshots.diff import diff
from snapshots.registry.mentions import placeholders
from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, PUSH_ORDER, ROUTE, SCOPED_ROUTE, SECRET
from tests.support.registries import registry

BEFORE = """
pools:
  a: {endpoints: [10.0.0.1:1, 10.0.0.2:1], model: org/a, adapters: [lora]}
  b: {endpoints: [10.0.0.3:1]}
  remote: {endpoints: [one.example.com:1], health_check: false}
models:
  first: {pool: a, aliases: [one], paths: [/v1/first]}
  second: {pool: b}
  third: {pool: remote}
  auto: {split: {a: 70, b: 30}}
"""


def nodes(old: str, new: str) -> tuple[NodeSnapshot, NodeSnapshot]:
    """Return what every Envoy is told before and after an edit, as one builder gives it."""
    builder = SnapshotBuilder()
    before, after = (builder.build(registry(text)).for_node("any") for text in (old, new))
    return before, after


def changes(old: str, new: str) -> dict[str, tuple[str, ...]]:
    """Return the names of what an edit adds, changes and removes, by type, each with a sign."""
    return {
        url.rpartition(".")[2]: (
            *(f"+{name}" for name in found.added),
            *(f"~{name}" for name in found.changed),
            *(f"-{name}" for name in found.removed),
        )
        for url, found in diff(*nodes(old, new)).items()
    }


def edited(old: str, new: str) -> dict[str, tuple[str, ...]]:
    """Return what changes when *old* becomes *new* in the file."""
    assert BEFORE.count(old) == 1
    return changes(BEFORE, BEFORE.replace(old, new))


def all_resources(node: NodeSnapshot) -> dict[tuple[str, str], Resource]:
    return {(url, name): r for url in PUSH_ORDER for name, r in node.types[url].resources.items()}


# --- what an edit changes ---


def test_the_same_file_changes_nothing():
    assert changes(BEFORE, BEFORE) == {}


def test_a_weight_changes_one_route_configuration_and_nothing_else():
    assert edited("{a: 70, b: 30}", "{a: 71, b: 29}") == {"RouteConfiguration": ("~model/auto",)}


def test_an_endpoint_changes_one_load_assignment_and_nothing_else():
    assert edited("10.0.0.3:1", "10.0.0.4:1") == {"ClusterLoadAssignment": ("~pool/b",)}


def test_the_weight_and_the_zone_of_an_endpoint_are_part_of_its_load_assignment():
    only_b = {"ClusterLoadAssignment": ("~pool/b",)}

    assert edited("[10.0.0.3:1]", "[{address: 10.0.0.3:1, weight: 2}]") == only_b
    assert edited("[10.0.0.3:1]", "[{address: 10.0.0.3:1, zone: a}]") == only_b


def test_a_dns_endpoint_changes_its_cluster_which_carries_it():
    assert edited("one.example.com:1", "two.example.com:1") == {"Cluster": ("~pool/remote",)}


def test_a_pool_that_becomes_dns_loses_its_load_assignment():
    assert edited("10.0.0.3:1", "b.example.com:1") == {
        "Cluster": ("~pool/b",),
        "ClusterLoadAssignment": ("-pool/b",),
    }


@pytest.mark.parametrize(
    "option", ["load_balancing: random", "health_check: false", "health_check: {path: /up}"]
)
def test_how_a_pool_is_used_is_part_of_its_cluster(option):
    edit = edited("{endpoints: [10.0.0.3:1]}", f"{{endpoints: [10.0.0.3:1], {option}}}")

    assert edit == {"Cluster": ("~pool/b",)}


def test_the_name_that_servers_expect_is_part_of_every_route_to_them():
    assert edited("model: org/a", "model: org/a2") == {
        "RouteConfiguration": (
            "~model/auto", "~model/first", "~model/lora", "~model/one", "~no-model",
        ),
    }  # fmt: skip


def test_a_pool_that_starts_to_rewrite_has_another_cluster():
    edit = edited("{endpoints: [10.0.0.3:1]}", "{endpoints: [10.0.0.3:1], model: org/b}")

    assert edit["Cluster"] == ("~pool/b",)


def test_a_new_model_has_a_scope_and_routes_and_is_listed():
    assert edited("  auto:", "  new: {pool: b}\n  auto:") == {
        "ScopedRouteConfiguration": ("+model/new",),
        "RouteConfiguration": ("+model/new", "~no-model"),
    }


def test_a_removed_model_takes_with_it_what_only_it_had():
    assert edited("  second: {pool: b}\n", "") == {
        "ScopedRouteConfiguration": ("-model/second",),
        "RouteConfiguration": ("~no-model", "-model/second"),
    }
    assert edited("  third: {pool: remote}\n", "") == {
        "Cluster": ("-pool/remote",),
        "ScopedRouteConfiguration": ("-model/third",),
        "RouteConfiguration": ("~no-model", "-model/third"),
    }


def test_a_path_is_part_of_the_requests_without_a_model():
    assert edited("/v1/first", "/v1/1st") == {"RouteConfiguration": ("~no-model",)}


def test_a_timeout_is_part_of_a_models_routes():
    assert edited("{pool: b}", "{pool: b, timeout: 5s}") == {
        "RouteConfiguration": ("~model/second",)
    }


def test_the_listener_knows_no_model():
    before, after = nodes(BEFORE, "pools: {z: {endpoints: [10.9.9.9:1]}}\nmodels: {y: {pool: z}}")

    assert after.types[LISTENER].version == before.types[LISTENER].version


def test_where_to_listen_changes_the_listener_alone():
    edit = changes(BEFORE, f"gateways: {{default: {{listen: 127.0.0.1:1}}}}\n{BEFORE}")

    assert edit == {"Listener": ("~gateway/default",)}


# --- what it costs ---


def test_what_did_not_change_is_the_very_same_object():
    before, after = nodes(BEFORE, BEFORE.replace("{a: 70, b: 30}", "{a: 1, b: 1}"))

    old, new = all_resources(before), all_resources(after)
    rebuilt = [key for key in new if new[key] is not old.get(key)]
    assert rebuilt == [(ROUTE, "model/auto")]


def test_gateways_share_what_is_the_same_in_both():
    text = f"gateways: {{one: {{}}, two: {{node_cluster: two}}}}\n{BEFORE}"
    snapshot = SnapshotBuilder().build(registry(text))

    one, two = (all_resources(snapshot.nodes[cluster]) for cluster in ("*", "two"))
    own = [key for key in one if one[key] is not two.get(key)]
    assert own == [(LISTENER, "gateway/one")]


def test_a_resource_that_comes_back_later_is_built_again_and_is_the_same():
    builder = SnapshotBuilder()
    first = builder.build(registry(BEFORE))
    builder.build(registry(""))

    assert builder.build(registry(BEFORE)) == first


# --- what it is ---


def test_each_resource_tells_which_entry_of_the_registry_it_comes_from():
    _, node = nodes(BEFORE, BEFORE)
    origins = {key: resource.origin for key, resource in all_resources(node).items()}

    assert origins[CLUSTER, "pool/a"] == ("pools", "a")
    assert origins[ENDPOINT, "pool/a"] == ("pools", "a", "endpoints")
    assert origins[ROUTE, "model/auto"] == ("models", "auto")
    assert origins[SCOPED_ROUTE, "model/one"] == ("models", "first", "aliases")
    assert origins[ROUTE, "model/lora"] == ("pools", "a", "adapters")
    assert origins[LISTENER, "gateway/default"] == ("gateways", "default")
    assert origins[CLUSTER, "no-model"] == ()


def test_a_node_of_a_cluster_that_is_named_gets_that_gateway_and_no_other():
    text = "gateways: {edge: {node_cluster: edge}, all: {}}"
    snapshot = SnapshotBuilder().build(registry(text))

    assert snapshot.for_node("edge").gateway == "edge"
    assert snapshot.for_node("anything").gateway == "all"


def test_a_node_that_no_gateway_wants_is_told_nothing():
    snapshot = SnapshotBuilder().build(registry("gateways: {edge: {node_cluster: edge}}"))

    node = snapshot.for_node("default")
    assert node.gateway == ""
    assert all(not node.types[url].resources for url in PUSH_ORDER)


REVISION = """
import sys
from snapshots.build import SnapshotBuilder
from tests.support.registries import registry
print(SnapshotBuilder().build(registry(sys.stdin.read())).revision)
"""


@pytest.mark.parametrize("seed", ["0", "1"])
def test_another_process_with_other_hashes_gives_the_same_revision(seed):
    revision = SnapshotBuilder().build(registry(BEFORE)).revision

    other = subprocess.run(
        [sys.executable, "-c", REVISION],
        input=BEFORE,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert other.stdout == f"{revision}\n"


def test_a_pool_that_only_gets_copies_has_the_secrets_of_its_tls():
    text = """
    pools:
      a: {endpoints: ["10.0.0.1:1"]}
      b: {endpoints: ["b.example.com:1"], tls: {ca: ca.pem}}
    models: {m: {pool: a, mirror: {pool: b, percent: 10}}}
    """
    loaded = registry(text)
    types = SnapshotBuilder().build(loaded, placeholders(loaded)).for_node("any").types

    assert list(types[SECRET].resources) == ["pools/b/ca"]
