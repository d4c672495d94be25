"""What a request must be like, whatever the variant."""

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from snapshots.type_urls import CLUSTER
from xds_server.ads.messages import read_delta, read_node, read_sotw
from xds_server.ads.requests import check, count_names
from xds_server.guard.entrance import MessageReader
from xds_server.guard.limits import (
    KEPT_VERSION_CHARACTERS,
    READ_ERROR_CHARACTERS,
    Limit,
    LimitError,
    Limits,
)
from xds_server.protocol.refusal import named_in

LIMITS = Limits(request_bytes=1_000, characters=10, metadata_bytes=50)
KINDS = {
    "delta": (discovery_pb2.DeltaDiscoveryRequest, read_delta),
    "sotw": (discovery_pb2.DiscoveryRequest, read_sotw),
}


@pytest.fixture(params=KINDS)
def variant(request):
    kind, read = KINDS[request.param]
    return kind, read, MessageReader(kind, LIMITS)


def test_a_request_of_the_allowed_size_is_read(variant):
    kind, _, reader = variant
    message = kind(type_url="t" * 500)

    assert reader.parse(message.SerializeToString()) == message


def test_a_larger_one_is_not(variant):
    kind, _, reader = variant

    with pytest.raises(LimitError, match="1000 bytes, this one has 10") as refused:
        reader.parse(kind(type_url="t" * 1_000).SerializeToString())

    assert refused.value.limit is Limit.REQUEST_BYTES


@pytest.mark.parametrize("data", [b"\xff", b"\x22\xff", b"\x22\x02\xff\xfe"])
def test_what_is_no_request_is_malformed(variant, data):
    _, _, reader = variant

    with pytest.raises(LimitError) as refused:
        reader.parse(data)

    assert refused.value.limit is Limit.MALFORMED


def test_a_node_keeps_what_it_is_and_nothing_of_its_extensions(variant):
    kind, _, reader = variant
    message = kind(type_url=CLUSTER)
    message.node.id, message.node.cluster = "envoy-1", "edge"
    message.node.metadata["zone"] = "a"
    message.node.user_agent_version = "9" * 1_000
    message.node.extensions.add(name="n" * 5_000)

    reader.check_node(message)
    node = read_node(message.node)

    assert (node.id, node.cluster, node.metadata) == ("envoy-1", "edge", {"zone": "a"})
    assert len(node.envoy_version) == KEPT_VERSION_CHARACTERS


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        (lambda node: node.ClearField("id"), Limit.MALFORMED),
        (lambda node: setattr(node, "id", "i" * 11), Limit.NAMES),
        (lambda node: setattr(node, "cluster", "c" * 11), Limit.NAMES),
        (lambda node: node.metadata.update({"nested": {"k": "v" * 50}}), Limit.NODE),
    ],
    ids=["no id", "long id", "long cluster", "much metadata"],
)
def test_a_node_that_could_not_be_kept_is_refused(variant, change, limit):
    kind, _, reader = variant
    message = kind(type_url=CLUSTER)
    message.node.id = "envoy-1"
    change(message.node)

    with pytest.raises(LimitError) as refused:
        reader.check_node(message)

    assert refused.value.limit is limit


LONG = "x" * 11


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("delta", {"resource_names_subscribe": ["a", LONG]}),
        ("delta", {"initial_resource_versions": {LONG: "1"}}),
        ("delta", {"initial_resource_versions": {"a": LONG}}),
        ("delta", {"response_nonce": LONG}),
        ("sotw", {"resource_names": [LONG]}),
        ("sotw", {"version_info": LONG}),
        ("sotw", {"response_nonce": LONG}),
        ("sotw", {"type_url": LONG}),
    ],
)
def test_no_text_that_is_kept_may_be_long(name, fields):
    kind, read = KINDS[name]
    message = kind(**{"type_url": "t", **fields})

    with pytest.raises(LimitError, match="10 characters, this has 11"):
        check(read(message), message.ByteSize(), LIMITS)


def test_names_are_counted(variant):
    kind, _, _ = variant
    if kind is discovery_pb2.DiscoveryRequest:
        assert count_names(kind(resource_names=["a", "b"])) == 2
        return

    assert count_names(kind(resource_names_subscribe=["a"])) == 1
    assert count_names(kind(initial_resource_versions={"a": "1", "b": "1"})) == 2
    assert count_names(kind(resource_names_unsubscribe=["a", "b", "c"])) == 3


def test_the_words_of_a_refusal_are_cut_between_two_words(variant):
    """Half of the name `pool/a-2` would be another resource's."""
    kind, read, _ = variant
    message = kind(type_url=CLUSTER)
    message.error_detail.message = "x" * (READ_ERROR_CHARACTERS - 7) + " pool/a-2: broken"

    words = read(message).error_detail

    assert len(words) < READ_ERROR_CHARACTERS
    assert not named_in(words, ["pool/a", "pool/a-2"])
