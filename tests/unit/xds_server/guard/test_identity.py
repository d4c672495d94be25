"""Which node ids a certificate allows."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.support.certificates import Authority
from xds_server.guard.identity import allows, names_of

SPIFFE = "spiffe://corp/envoy/"


@pytest.mark.parametrize(
    ("name", "node_id", "is_allowed"),
    [
        ("envoy-1", "envoy-1", True),
        ("envoy-1", "envoy-2", False),
        ("envoy-1", "envoy-10", False),
        ("envoy-1", "Envoy-1", False),
        ("*.edge.test", "envoy-1.edge.test", True),
        ("*.edge.test", ".edge.test", False),
        ("*.edge.test", "a.b.edge.test", False),
        ("envoy-*", "envoy-17", True),
        ("envoy-*", "gateway-17", False),
        (SPIFFE + "*", SPIFFE + "envoy-1", True),
        (SPIFFE + "*", SPIFFE + "a/b", False),
        (SPIFFE + "envoy-1", "envoy-1", False),
        ("e.voy", "envoy", False),
        ("*", "envoy-1", True),
        ("*", "", False),
    ],
)
def test_a_star_stands_for_one_part_of_a_name_and_all_else_for_itself(name, node_id, is_allowed):
    assert allows([name], node_id) == is_allowed


def test_dns_names_and_uris_are_read_and_the_common_name_is_not():
    uri = x509.UniformResourceIdentifier(SPIFFE + "envoy-1")
    certificate, _ = Authority().issue("envoy-1.test", more=[uri])

    assert names_of(certificate) == ("envoy-1.test", SPIFFE + "envoy-1")


@pytest.mark.parametrize("content", [b"", b"no certificate"])
def test_what_is_no_certificate_names_nobody(content):
    assert names_of(content) == ()


def test_a_certificate_without_names_names_nobody():
    assert names_of(Authority("envoy-1").pem) == ()
