"""Responses as bytes, encoded once for many streams."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

from snapshots.type_urls import CLUSTER
from tests.support.snapshots import cluster
from xds_server.ads.encoded import Encoder
from xds_server.ads.messages import write_delta, write_sotw
from xds_server.protocol.events import DeltaResponse, SotwResponse

DELTA = DeltaResponse(CLUSTER, "v1", (cluster("a"), cluster("b")), ("gone",), "1")
SOTW = SotwResponse(CLUSTER, "v1", (cluster("a"),), "1")


@pytest.mark.parametrize(
    ("response", "write", "message"),
    [(DELTA, write_delta, DeltaDiscoveryResponse), (SOTW, write_sotw, DiscoveryResponse)],
)
def test_each_stream_gets_its_nonce_and_all_get_the_same_else(response, write, message):
    encoder, written = Encoder(), []

    def counted(one):
        written.append(one)
        return write(one)

    for nonce in ("1", "23", "1"):
        read = message.FromString(encoder.encode(replace(response, nonce=nonce), counted))
        expected = write(response)
        expected.nonce = nonce
        assert read == expected
    assert len(written) == 1


def test_another_content_is_another_response():
    encoder = Encoder()
    others = (replace(DELTA, resources=()), replace(DELTA, removed_resources=()), DELTA)
    read = [DeltaDiscoveryResponse.FromString(encoder.encode(o, write_delta)) for o in others]

    assert [(len(one.resources), len(one.removed_resources)) for one in read] == [
        (0, 1),
        (2, 0),
        (2, 1),
    ]


def test_no_more_is_kept_than_allowed():
    encoder, written = Encoder(max_bytes=10_000), []

    def counted(one):
        written.append(one)
        return write_delta(one)

    for version in [*map(str, range(1000)), "999", "0"]:
        encoder.encode(replace(DELTA, system_version_info=version), counted)

    assert len(written) == 1001  # the newest is still there, the oldest is not
