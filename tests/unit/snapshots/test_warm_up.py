"""Where an edit leaves a pool none of its servers, there is a step in between that has both."""

from __future__ import annotations

import pytest

from snapshots.build import SnapshotBuilder
from snapshots.consistency import check_consistency
from snapshots.diff import diff
from snapshots.render import render
from snapshots.snapshot import Snapshot
from snapshots.type_urls import ENDPOINT
from snapshots.warm_up import FirstCheck, WarmUp, keep_replaced_servers
from tests.support.registries import registry

ONE_POOL = """
pools: {{p: {{endpoints: [{endpoints}]{options}}}}}
models: {{m: {{pool: p}}}}
"""


def serving(*endpoints: str, options: str = "") -> Snapshot:
    """Return the snapshot of one pool of *endpoints*, as they stand in the file."""
    return built(ONE_POOL.format(endpoints=", ".join(endpoints), options=options))


def built(text: str) -> Snapshot:
    return SnapshotBuilder().build(registry(text))


def zones(snapshot: Snapshot, pool: str = "p", node_cluster: str = "*") -> list[tuple]:
    """Return the zone and the servers of each group of *pool*."""
    [assignment] = (
        assignment
        for assignment in render(snapshot.nodes[node_cluster])["endpoints"]
        if assignment["cluster_name"] == f"pool/{pool}"
    )
    return [
        (group.get("locality", {}).get("zone", ""), *map(address, group["lb_endpoints"]))
        for group in assignment.get("endpoints", [])
    ]


def address(member: dict) -> str:
    found = member["endpoint"]["address"]["socket_address"]
    return f"{found['address']}:{found['port_value']}"


def servers(snapshot: Snapshot, pool: str = "p", node_cluster: str = "*") -> set[str]:
    return {server for group in zones(snapshot, pool, node_cluster) for server in group[1:]}


def step(old: Snapshot, new: Snapshot) -> WarmUp:
    """Return the step between the two, which there must be."""
    found = keep_replaced_servers(old, new)
    assert found
    for node in found.snapshot.nodes.values():
        check_consistency(node)
    return found


A, B, C, D = (f"10.0.0.{last}:8000" for last in range(1, 5))


def test_replaced_servers_stay_beside_those_that_replace_them():
    found = step(serving(A, B), serving(C, D))

    assert servers(found.snapshot) == {A, B, C, D}
    assert found.first_checks == (
        FirstCheck("10.0.0.3", 8000, "/health"),
        FirstCheck("10.0.0.4", 8000, "/health"),
    )


TWO_POOLS = """
pools: {{p: {{endpoints: [{p}]}}, q: {{endpoints: [{q}]}}}}
models: {{m: {{pool: p}}, n: {{pool: {n}}}}}
"""


def test_nothing_else_than_the_endpoints_of_that_pool_waits():
    old = built(TWO_POOLS.format(p=A, q=C, n="q"))
    new = built(TWO_POOLS.format(p=B, q=C, n="p"))

    found = step(old, new)

    rest = diff(found.snapshot.for_node("any"), new.for_node("any"))
    assert {url: difference.changed for url, difference in rest.items()} == {ENDPOINT: ("pool/p",)}


def test_the_second_step_is_what_was_asked_for():
    old, new = serving(A), serving(B)

    found = step(old, new)

    assert found.snapshot.revision not in (old.revision, new.revision)
    assert keep_replaced_servers(found.snapshot, new) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(serving(A, B), serving(A, B), id="nothing changed"),
        pytest.param(serving(A, B), serving(B, C), id="one stays"),
        pytest.param(serving(A), serving(A, B), id="one is added"),
        pytest.param(serving(A, B), serving(A), id="one is removed"),
        pytest.param(
            serving("{address: 10.0.0.1:8000, weight: 1}"),
            serving("{address: 10.0.0.1:8000, weight: 2, zone: z}"),
            id="the same server otherwise",
        ),
        pytest.param(
            serving(A, options=", health_check: false"),
            serving(B, options=", health_check: false"),
            id="nothing is checked",
        ),
        pytest.param(
            serving("a.example.com:1"), serving("b.example.com:1"), id="resolved by Envoy"
        ),
        pytest.param(serving(A), serving("b.example.com:1"), id="resolved from now on"),
        pytest.param(serving("a.example.com:1"), serving(B), id="no longer resolved"),
        pytest.param(built(""), serving(A), id="a new pool"),
        pytest.param(serving(A), built(""), id="a removed pool"),
    ],
)
def test_an_edit_that_leaves_no_pool_with_unchecked_servers_only_has_no_step(old, new):
    assert keep_replaced_servers(old, new) is None


def test_servers_that_are_no_longer_checked_wait_for_the_cluster_that_was():
    """Until the cluster without the check is warm, Envoy uses the one with it."""
    found = step(serving(A), serving(B, options=", health_check: false"))

    assert [check.path for check in found.first_checks] == ["/health"]


def test_a_pool_that_gets_its_first_servers_or_loses_its_last_has_no_step():
    text = """
    pools: {{p: {{endpoints: {endpoints}}}, q: {{endpoints: [10.0.0.9:1]}}}}
    models: {{m: {{split: {{p: 0, q: 1}}}}}}
    """
    empty, full = built(text.format(endpoints="[]")), built(text.format(endpoints="[10.0.0.1:1]"))

    assert keep_replaced_servers(empty, full) is None
    assert keep_replaced_servers(full, empty) is None


def test_the_path_is_the_one_of_the_new_health_check():
    old = serving(A, options=", health_check: {path: /old}")
    new = serving(B, options=", health_check: {path: '/new?deep=1'}")

    assert step(old, new).first_checks == (FirstCheck("10.0.0.2", 8000, "/new?deep=1"),)


def test_the_status_is_the_one_that_envoy_expects():
    options = ", health_check: {path: /up, status: 302}"

    found = step(serving(A, options=options), serving(B, options=options))

    assert found.first_checks == (FirstCheck("10.0.0.2", 8000, "/up", 302),)


def test_a_zone_stands_there_once_with_the_new_servers_first():
    old = serving("{address: 10.0.0.1:8000, zone: z}", "{address: 10.0.0.2:8000, zone: old}")
    new = serving("{address: 10.0.0.3:8000, zone: z}", D)

    assert zones(step(old, new).snapshot) == [("", D), ("z", C, A), ("old", B)]


def test_weights_stay_with_their_servers():
    found = step(
        serving("{address: 10.0.0.1:8000, weight: 7}"),
        serving("{address: 10.0.0.2:8000, weight: 3}"),
    )

    [assignment] = render(found.snapshot.nodes["*"])["endpoints"]
    [group] = assignment["endpoints"]
    assert [member["load_balancing_weight"] for member in group["lb_endpoints"]] == [3, 7]


def test_ipv6_servers_are_servers():
    found = step(serving('"[2001:db8::1]:1"'), serving('"[2001:db8::2]:1"'))

    assert found.first_checks == (FirstCheck("2001:db8::2", 1, "/health"),)


TWO_GATEWAYS = """
gateways: {{all: {{}}, edge: {{node_cluster: edge, models: [n]}}}}
pools: {{p: {{endpoints: [{p}]}}, q: {{endpoints: [{q}]}}}}
models: {{m: {{pool: p}}, n: {{pool: q}}}}
"""


def test_each_gateway_keeps_what_it_had():
    found = step(built(TWO_GATEWAYS.format(p=A, q=B)), built(TWO_GATEWAYS.format(p=C, q=D)))

    assert servers(found.snapshot, "p") == {A, C}
    assert servers(found.snapshot, "q") == servers(found.snapshot, "q", "edge") == {B, D}
    assert [check.host for check in found.first_checks] == ["10.0.0.3", "10.0.0.4"]


def test_a_gateway_whose_pools_keep_a_server_is_at_the_goal_at_once():
    new = built(TWO_GATEWAYS.format(p=C, q=B))

    found = step(built(TWO_GATEWAYS.format(p=A, q=B)), new)

    assert found.snapshot.nodes["edge"] == new.nodes["edge"]


def test_a_gateway_that_is_new_has_nothing_to_keep():
    old = built(TWO_GATEWAYS.format(p=A, q=B).replace("node_cluster: edge", "node_cluster: other"))
    new = built(TWO_GATEWAYS.format(p=A, q=D))

    assert servers(step(old, new).snapshot, "q", "edge") == {D}


# --- edits that come while the first step is not finished ---


def test_a_further_replacement_keeps_everything_that_may_serve():
    first = step(serving(A), serving(B))

    second = step(first.snapshot, serving(C))

    assert servers(second.snapshot) == {A, B, C}
    assert [check.host for check in second.first_checks] == ["10.0.0.3"]


def test_the_way_back_needs_no_step():
    first = step(serving(A), serving(B))

    assert keep_replaced_servers(first.snapshot, serving(A)) is None


def test_another_edit_meanwhile_does_not_wait():
    first = step(serving(A), serving(B))
    new = serving(A, B, options=", load_balancing: random")

    assert keep_replaced_servers(first.snapshot, new) is None


def test_a_server_whose_first_check_is_pending_counts_as_new():
    first = step(serving(A), serving(B))
    second = keep_replaced_servers(
        first.snapshot, serving(B, options=", load_balancing: random"), first.first_checks
    )

    assert second
    assert servers(second.snapshot) == {A, B}
    assert second.first_checks == first.first_checks


def test_a_server_whose_first_check_is_pending_is_not_kept_once_it_is_left_out():
    first = step(serving(A), serving(B))
    second = keep_replaced_servers(first.snapshot, serving(C), first.first_checks)

    assert second
    assert servers(second.snapshot) == {A, C}
    assert keep_replaced_servers(first.snapshot, serving(A), first.first_checks) is None
