"""Whatever bytes a client sends as xDS requests, its own stream ends at worst."""

from __future__ import annotations

import random

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER
from tests.support.ads_client import AdsClient
from tests.support.raw_xds import DELTA, SOTW, raw_xds
from tests.support.snapshots import listener, pool
from tests.support.xds_server import xds_server
from xds_server.guard.limits import Limits

STREAMS = 300
SEED = 5
SAID = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


def requests(variant: str) -> list[bytes]:
    """Return what an Envoy may say, as if it had been told something."""
    error = status_pb2.Status(code=13, message="pool/p: is broken")
    if variant == "sotw":
        kind, names = discovery_pb2.DiscoveryRequest, "resource_names"
        more = {"version_info": "1"}
    else:
        kind, names = discovery_pb2.DeltaDiscoveryRequest, "resource_names_subscribe"
        more = {"initial_resource_versions": {"pool/p": "1", "*": ""}}
    said = [
        kind(type_url=CLUSTER),
        kind(type_url=CLUSTER, **more),
        kind(type_url=CLUSTER, **{names: ["*", "pool/p"]}),
        kind(type_url=ENDPOINT, **{names: ["pool/p", "pool/q"]}),
        kind(type_url=LISTENER, response_nonce="1"),
        kind(type_url=CLUSTER, response_nonce="1", error_detail=error),
        kind(type_url=CLUSTER, response_nonce="2", **more),
    ]
    for message in said:
        message.node.id = "fuzz"
        message.node.metadata["zone"] = "a"
    return [message.SerializeToString() for message in said]


def damaged(data: bytes, by: random.Random) -> bytes:
    """Return *data* with some of it changed, cut, repeated, or nothing at all."""
    changed = bytearray(data)
    for _ in range(by.choice((0, 0, 1, 1, 2, 8))):
        at = by.randrange(len(changed) + 1)
        what = by.randrange(4)
        if what == 0:
            changed[at : at + 1] = bytes((by.randrange(256),))
        elif what == 1:
            del changed[at : at + by.randrange(1, 9)]
        elif what == 2:
            changed[at:at] = changed[: by.randrange(40)]
        else:
            changed[at:at] = by.randbytes(by.randrange(9))
    return bytes(changed)


@pytest.mark.parametrize(("variant", "method"), [("sotw", SOTW), ("delta", DELTA)])
async def test_no_bytes_do_more_than_end_their_stream(variant, method, caplog):
    by, ended = random.Random(SEED), set()
    seeds = requests(variant)
    kept = Limits(requests=10**9, work_s=10**9)  # who is fuzzed is in a hurry
    async with xds_server(kept=kept) as server, AdsClient(server.address, variant) as honest:
        server.publish(*pool("p"), listener("l"))
        await honest.subscribe(CLUSTER)
        await honest.settle()
        for _ in range(STREAMS):
            async with raw_xds(server.address) as client:
                client.open(method)
                more = [damaged(by.choice(seeds), by) for _ in range(by.randrange(1, 6))]
                await client.send(by.choice(seeds), *more)
                client.done()
                code, _words = await client.ended()
                ended.add(code)
        await honest.expect_nothing()

        assert ended == SAID
        assert not [line for line in caplog.records if line.levelname == "ERROR"]
        assert server.metric("modelyard_xds_streams") == 1
