from __future__ import annotations

from datetime import timedelta

from snapshots.registry.loader import load_registry
from snapshots.registry.schema import Registry
from xds_server.planning import SECRETS_NOT_READ, plan

REGISTRY = """\
version: 1
gateways:
  default: {}
  edge: {node_cluster: edge, listen: 0.0.0.0:10001, models: [one]}
pools:
  a: {endpoints: [10.0.0.1:8000]}
  b: {endpoints: [10.0.0.2:8000]}
models:
  one: {pool: a}
  two: {split: {a: 70, b: 30}}
"""


def registry(*edits: tuple[str, str]) -> Registry:
    text = REGISTRY
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return load_registry(text.encode(), "registry.yaml")


def test_nothing_changes_between_equal_registries():
    told = plan(registry(), registry())

    assert told.is_empty
    assert not told.notes


def test_only_the_groups_that_are_sent_something_are_told():
    told = plan(registry(), registry(("a: 70", "a: 60")))

    (group,) = told.groups
    assert (group.nodes.cluster, group.gateway) == ("*", "default")
    assert [(c.type, c.name, c.what) for c in group.resources] == [
        ("RouteConfiguration", "model/two", "changed")
    ]
    assert not group.listener_changes


def test_a_listener_that_changes_is_told():
    told = plan(registry(), registry(("edge, listen", "edge, trusted_hops: 1, listen")))

    (group,) = told.groups
    assert group.gateway == "edge"
    assert group.listener_changes


def test_a_gateway_that_goes_leaves_its_envoys_the_one_for_all():
    line = "  edge: {node_cluster: edge, listen: 0.0.0.0:10001, models: [one]}\n"
    told = plan(registry(), registry((line, "")))

    (group,) = told.groups
    assert (group.nodes.cluster, group.gateway) == ("edge", "default")
    assert group.listener_changes


def test_a_listener_that_is_new_ends_no_connection():
    line = "  edge: {node_cluster: edge, listen: 0.0.0.0:10001, models: [one]}\n"
    only = registry((line, ""), ("default: {}", "default: {node_cluster: x}"))
    more = registry(("default: {}", "default: {node_cluster: x}"))

    (group,) = plan(only, more).groups

    assert (group.nodes.cluster, group.gateway) == ("edge", "edge")
    assert not group.listener_changes


def test_a_pool_with_nothing_but_new_servers_is_told():
    assert plan(registry(), registry(("10.0.0.2", "10.0.0.3"))).two_steps == ("b",)


def test_what_leaves_is_told_with_how_long_it_is_drained():
    gone = registry(
        (", b: 30", ""),
        ("  b: {endpoints: [10.0.0.2:8000]}\n", ""),
        ("version: 1", "version: 1\ndrain: 5s"),
    )

    told = plan(registry(), gone)
    at_once = plan(registry(), gone.model_copy(update={"drain": timedelta(0)}))

    assert (told.drained, told.drain_s) == (("pool b",), 5.0)
    assert at_once.drained == ()


def test_secrets_need_not_be_there():
    told = plan(registry(), registry(("a: {", "a: {tls: {ca: missing.pem, server_name: h}, ")))

    assert told.notes == (SECRETS_NOT_READ,)
    assert "Secret" in {change.type for group in told.groups for change in group.resources}


def test_another_digest_changes_routes_and_no_length():
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    auth = ("version: 1\n", f"version: 1\nauth: {{clients: {{t: {{key_sha256: {digest}}}}}}}\n")
    with_file = ("version: 1\n", "version: 1\nauth: {clients: {t: {key_file: keys/t}}}\n")

    changes = {
        edit: {c.name: c.body_bytes for g in plan(registry(), registry(edit)).groups
               for c in g.resources if c.type == "RouteConfiguration"}
        for edit in (auth, with_file)
    }  # fmt: skip

    assert changes[auth] == changes[with_file]


def test_a_group_by_id_is_told_by_that_and_its_envoys_come_from_the_one_for_all():
    line = (
        "  canary: {node_cluster: lab, node_id: canary-*, listen: 0.0.0.0:10001, models: [one]}\n"
    )

    (group,) = plan(registry(), registry(("  edge: ", f"{line}  edge: "))).groups

    assert (group.nodes.node_id, group.gateway) == ("canary-*", "canary")
    assert group.listener_changes
