"""What is shown is what is sent: nothing is lost, and it can be read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict

from snapshots.build import SnapshotBuilder
from snapshots.registry.loader import load_registry
from snapshots.render import SECTIONS, render
from snapshots.snapshot import NO_GATEWAY
from snapshots.type_urls import PUSH_ORDER

EXAMPLE = Path(__file__).parents[3] / "envoy" / "registry.example.yaml"


@pytest.fixture(scope="module")
def node():
    registry = load_registry(EXAMPLE.read_bytes(), "registry.yaml")
    return SnapshotBuilder().build(registry).for_node("any")


def test_every_type_that_is_sent_has_a_section():
    assert {url for url, _ in SECTIONS.values()} == set(PUSH_ORDER)


def test_every_resource_is_shown_in_the_order_of_its_name(node):
    shown = render(node)

    for section, (url, _) in SECTIONS.items():
        names = [r.get("name") or r["cluster_name"] for r in shown[section]]
        assert names == sorted(node.types[url].resources)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_shown_reads_back_to_an_equal_message(node, section):
    url, message = SECTIONS[section]
    shown = yaml.safe_load(yaml.safe_dump(render(node)[section]))

    for plain, resource in zip(shown, node.types[url].resources.values(), strict=True):
        # Not the messages: the contents of an `Any` are bytes there, in any order of maps.
        sent = message.FromString(resource.body)
        read = ParseDict(plain, message(), ignore_unknown_fields=True)
        assert MessageToDict(read) == MessageToDict(sent)


def test_a_field_that_the_messages_do_not_know_is_shown_all_the_same(node):
    shown = yaml.safe_dump(render(node)["routes"])

    assert shown.count("refresh_cluster_on_retry: true") == shown.count("retry_policy:") > 0


def test_fields_are_spelt_as_in_envoys_documentation(node):
    [listener] = render(node)["listeners"]

    assert listener["per_connection_buffer_limit_bytes"] > 0
    assert listener["filter_chains"][0]["filters"][0]["typed_config"]["@type"].endswith(
        "HttpConnectionManager"
    )


def test_a_gateway_without_resources_has_empty_sections():
    assert render(NO_GATEWAY) == {section: [] for section in SECTIONS}
