"""What holds for every registry that is accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snapshots.build import SnapshotBuilder
from snapshots.ir import names
from snapshots.ir.translate import translate
from snapshots.registry.mentions import placeholders
from snapshots.render import render
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot
from snapshots.type_urls import PUSH_ORDER, ROUTE, SCOPED_ROUTE
from tests.support.registries import Data, registries, registry_of

a_few = settings(max_examples=50, deadline=None)


def build(data: Data, builder: SnapshotBuilder | None = None) -> Snapshot:
    registry = registry_of(data)
    return (builder or SnapshotBuilder()).build(registry, placeholders(registry))


def resources(snapshot: Snapshot) -> dict[tuple[str, ...], tuple[Resource, tuple[str, ...]]]:
    """Return every resource, with the origin that does not count in a comparison."""
    return {
        (cluster, url, name): (resource, resource.origin)
        for cluster, node in snapshot.nodes.items()
        for url in PUSH_ORDER
        for name, resource in node.types[url].resources.items()
    }


def exposed(data: Data) -> Iterator[tuple[str, set[str]]]:
    """Yield each node_cluster of *data* with the names that its Envoys are to route."""
    models, pools = data.get("models", {}), data["pools"]
    for gateway in data.get("gateways", {"default": {}}).values():
        wanted = gateway.get("models", "*")
        chosen = models if wanted == "*" else {name: models[name] for name in wanted}
        used = {pool for model in chosen.values() for pool in pools_of(model)}
        if wanted == "*":
            used = set(pools)
        aliases = (alias for model in chosen.values() for alias in model.get("aliases", ()))
        adapters = (adapter for pool in used for adapter in pools[pool].get("adapters", ()))
        yield gateway.get("node_cluster", "*"), {*chosen, *aliases, *adapters}


def pools_of(model: Data) -> list[str]:
    chosen = [model["pool"]] if "pool" in model else list(model["split"])
    return [*chosen, *model.get("fallback", ())]


def listed(node: NodeSnapshot) -> list[str]:
    """Return the names that `GET /v1/models` lists for who may use everything."""
    [no_model] = (r for r in render(node)["routes"] if r["name"] == names.NO_MODEL_ROUTES)
    [answer] = (
        route["direct_response"]["body"]["inline_string"]
        for route in no_model["virtual_hosts"][0]["routes"]
        if route["match"].get("path") == "/v1/models" and len(route["match"]["headers"]) == 1
    )
    return [entry["id"] for entry in json.loads(answer)["data"]]


@a_few
@given(registries())
def test_it_gives_a_snapshot_in_which_every_reference_holds(data):
    snapshot = build(data)

    assert snapshot.nodes.keys() == {cluster for cluster, _ in exposed(data)}


@a_few
@given(registries())
def test_each_routable_name_has_a_scope_and_routes_and_is_listed_and_nothing_else_is(data):
    snapshot = build(data)

    for cluster, routable in exposed(data):
        node = snapshot.nodes[cluster]
        named = {names.route_name(name) for name in routable} | {names.NO_MODEL_ROUTES}
        keys = [s["key"]["fragments"][0]["string_key"] for s in render(node)["scoped_routes"]]
        assert node.types[SCOPED_ROUTE].resources.keys() == named
        assert node.types[ROUTE].resources.keys() == named
        assert sorted(keys) == sorted({*map(names.scope_key, routable), names.NO_MODEL})
        exact = (name for name in routable if not names.is_wildcard(name))
        assert sorted(listed(node)) == sorted(exact)


@a_few
@given(registries(), st.randoms())
def test_the_order_of_entries_changes_no_version(data, random):
    other = shuffled(data, random)
    assume(first_models(other) == first_models(data))

    assert build(other).revision == build(data).revision
    assert resources(build(other)) == resources(build(data))


def shuffled(value: Any, random: Any) -> Any:
    """Return *value* with every mapping and list inside it in another order, but for fallbacks."""
    if isinstance(value, dict):
        entries = [
            (key, inner if key == "fallback" else shuffled(inner, random))
            for key, inner in value.items()
        ]
        random.shuffle(entries)
        return dict(entries)
    if isinstance(value, list):
        items = [shuffled(inner, random) for inner in value]
        random.shuffle(items)
        return items
    return value


def first_models(data: Data) -> dict[str, str]:
    """Return the first model that points at each pool with adapters: there, order has a meaning."""
    first: dict[str, str] = {}
    for name, model in data.get("models", {}).items():
        for pool in pools_of(model):
            if data["pools"][pool].get("adapters"):
                first.setdefault(pool, name)
    return first


@settings(max_examples=20, deadline=None)
@given(st.lists(registries(), min_size=2, max_size=2))
def test_what_is_remembered_of_the_last_registry_changes_nothing(several):
    builder = SnapshotBuilder()
    for data in several:
        after_others = build(data, builder)

        assert after_others.revision == build(data).revision
        assert resources(after_others) == resources(build(data))


@a_few
@given(registries())
def test_the_shares_of_every_route_are_those_of_the_registry(data):
    intent = translate(registry_of(data))

    for gateway in intent.gateways:
        for route in gateway.routes:
            model = data.get("models", {}).get(route.name)
            if model is not None:
                split = model.get("split") or {model.get("pool"): 1}
                assert {target.pool: target.weight for target in route.targets} == split
            assert route.targets == tuple(sorted(route.targets))
            assert {target.pool for target in route.targets} <= {p.name for p in gateway.pools}
