"""Names are minted without two things getting the same one."""

from __future__ import annotations

import pytest

from snapshots.ir import names
from snapshots.registry.names import check_name
from snapshots.registry.problems import ValueRefusedError


def test_each_kind_of_name_tells_what_it_is_of():
    assert names.cluster_name("llama-1b") == "pool/llama-1b"
    assert names.route_name("org/model:tag") == "model/org/model:tag"
    assert names.listener_name("default") == "gateway/default"


def test_clusters_that_treat_headers_otherwise_have_other_names():
    clusters = {
        names.cluster_name("a"),
        names.cluster_name("a", own=("b",)),
        names.cluster_name("a", foreign=("b",)),
        names.cluster_name("a", own=("b",), foreign=("c",)),
        names.cluster_name("b/a"),
        names.cluster_name("+b/a"),
    }

    assert len(clusters) == 6


@pytest.mark.parametrize("name", ["no-model", "-", "pool/a", "model/a", "modelyard-xds"])
def test_no_name_of_a_registry_is_taken_for_a_built_in_one(name):
    built_in = {
        names.NO_MODEL_ROUTES,
        names.NO_MODEL_CLUSTER,
        names.XDS_CLUSTER,
        names.EXT_PROC_CLUSTER,
    }

    assert names.cluster_name(name) not in built_in
    assert names.route_name(name) not in built_in


def test_the_key_of_requests_without_a_model_can_be_nobodys_name():
    with pytest.raises(ValueRefusedError):
        check_name(names.NO_MODEL)


def test_every_routing_header_is_removed_when_a_client_sends_it():
    headers = (
        names.MODEL_HEADER,
        names.BASE_MODEL_HEADER,
        names.POOL_HEADER,
        names.ENDPOINT_HEADER,
    )

    assert all(header.startswith(names.ROUTING_HEADER_PREFIX) for header in headers)
