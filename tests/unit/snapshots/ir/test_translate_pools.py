"""The registry with everything resolved: pools."""

from __future__ import annotations

import pytest

from snapshots.ir import model as ir
from snapshots.ir.translate import translate
from tests.support.registries import registry

POOL = """
pools: {{p: {{endpoints: {endpoints}}}}}
models: {{m: {{pool: p}}}}
"""


def pool(endpoints: str) -> ir.Pool:
    [gateway] = translate(registry(POOL.format(endpoints=endpoints))).gateways
    return gateway.pools[0]


def test_endpoints_are_ordered_by_zone_and_address():
    found = pool(
        "[{address: 10.0.0.9:1, zone: b}, {address: 10.0.0.2:9, zone: a, weight: 3},"
        " {address: 10.0.0.2:1, zone: a}, 10.0.0.5:1]"
    )

    assert found.endpoints == (
        ir.Endpoint("10.0.0.5", 1, 1, ""),
        ir.Endpoint("10.0.0.2", 1, 1, "a"),
        ir.Endpoint("10.0.0.2", 9, 3, "a"),
        ir.Endpoint("10.0.0.9", 1, 1, "b"),
    )


@pytest.mark.parametrize(
    ("endpoints", "by_dns"),
    [
        ("[10.0.0.1:1, '[2001:db8::1]:1']", False),
        ("[models.example.com:1]", True),
        ("[localhost:1]", True),
        ("[10.0.0.1:1, models.example.com:1]", True),
    ],
)
def test_one_dns_name_makes_a_pool_resolved_by_envoy(endpoints, by_dns):
    assert pool(endpoints).by_dns is by_dns


@pytest.mark.parametrize("name", [None, "org/model"])
def test_a_pool_rewrites_if_its_servers_have_a_name_of_their_own(name):
    options = f", model: {name}" if name else ""

    assert pool(f"[10.0.0.1:1]{options}").rewrites is (name is not None)
