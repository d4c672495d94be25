from __future__ import annotations

import pytest

from snapshots.build import SnapshotBuilder
from snapshots.registry.loader import load_registry
from snapshots.shown_key import client_of, digest_of, shown_key
from snapshots.snapshot import NO_GATEWAY

KEY = "0123456789abcdef"
REGISTRY = f"""\
version: 1
auth: {{clients: {{team: {{key_sha256: {digest_of(KEY)}}}}}}}
"""


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"x-api-key": "k"}, "k"),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer   k"}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer k l"}, None),
        ({"authorization": "Bearer k", "x-api-key": "k"}, "k"),
        ({"authorization": "Bearer k", "x-api-key": "l"}, None),
    ],
)
def test_a_key_stands_where_the_gateway_looks_for_it(headers, key):
    assert shown_key(headers) == key


def test_a_client_is_found_in_what_envoys_are_told():
    snapshot = SnapshotBuilder().build(load_registry(REGISTRY.encode(), "r"))
    node = snapshot.for_node("any")

    assert client_of(node, digest_of(KEY)) == "team"
    assert client_of(node, digest_of("other")) is None
    assert client_of(node, "keys are checked") is None
    assert client_of(NO_GATEWAY, digest_of(KEY)) is None


def test_without_clients_nobody_is_found():
    node = SnapshotBuilder().build(load_registry(b"version: 1\n", "r")).for_node("any")

    assert client_of(node, digest_of(KEY)) is None
