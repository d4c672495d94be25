"""What one client does wrong ends its own stream: the others get edits, and memory stays bounded.

Each test misbehaves on the real command while honest clients are connected.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, SCOPED_ROUTE
from tests.support.raw_xds import DELTA, SOTW, RawClient, raw_xds
from tests.support.siege import HONEST, delta, siege, sotw, until
from xds_server.guard.limits import KEPT_ERROR_CHARACTERS, Limits

EXHAUSTED, INVALID = grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT
LIMITS = Limits()
GROWTH_MIB = 64
"""Of the process, whatever it is made to read."""
UNKNOWN = "type.googleapis.com/made.up"


async def opened(stack: AsyncExitStack, address: str, method: str = DELTA, **how) -> RawClient:
    client = await stack.enter_async_context(raw_xds(address, **how))
    client.open(method)
    return client


def without_node(type_url: str) -> bytes:
    return discovery_pb2.DeltaDiscoveryRequest(type_url=type_url).SerializeToString()


def with_metadata(count: int, size: int) -> bytes:
    node = base_pb2.Node(id="bad")
    node.metadata.update({f"key-{n}": "x" * size for n in range(count)})
    return discovery_pb2.DeltaDiscoveryRequest(node=node, type_url=CLUSTER).SerializeToString()


def names(count: int, start: int = 0, width: int = 8) -> list[str]:
    return [f"n{number:0{width}}" for number in range(start, start + count)]


WRONG = {
    "junk": ([b"\xff" * 100], INVALID, "cannot be read"),
    "no utf-8": ([delta(CLUSTER, "abcd").replace(b"abcd", b"\xff\xfe\xff\xfe")], INVALID, "UTF-8"),
    "no node": ([without_node(CLUSTER)], INVALID, "must tell its node"),
    "nothing at all": ([b""], INVALID, "must tell its node"),
    "a type that is none": ([delta("")], INVALID, "must tell its type_url"),
    "a type of a megabyte": ([delta("t" * 2**20)], EXHAUSTED, "a type_url can have 1024 "),
    "types without end": (
        [delta(f"{UNKNOWN}.{n}") for n in range(LIMITS.types + 1)], EXHAUSTED, "256 types"
    ),
    "a node id of a megabyte": ([delta(CLUSTER, "n" * 2**20)], EXHAUSTED, "the node's id"),
    "a long metadata text": ([with_metadata(1, 2**20)], EXHAUSTED, "node.metadata can have 16384"),
    "much metadata": ([with_metadata(2_000, 1_000)], EXHAUSTED, "node.metadata can have 16384"),
    "a million names": (
        [delta(ENDPOINT, resource_names_subscribe=names(1_000_000))], EXHAUSTED, "8388608 bytes"
    ),
    "more names than it can have": (
        [delta(ENDPOINT, resource_names_subscribe=names(200_000))], EXHAUSTED, "100000 names"
    ),
    "more names, bit by bit": (
        [delta(ENDPOINT, resource_names_subscribe=names(30_000, n * 30_000)) for n in range(4)],
        EXHAUSTED,
        "100000 names",
    ),
    "a long name": (
        [delta(ENDPOINT, resource_names_subscribe=["n" * 2_000])], EXHAUSTED, "a name can have 1024"
    ),
    "much that it says it holds": (
        [delta(CLUSTER, initial_resource_versions=dict.fromkeys(names(120_000), "1"))],
        EXHAUSTED,
        "say that it holds",
    ),
    "a message of 20 MiB": ([b"\x0a" + b"x" * 20 * 2**20], EXHAUSTED, "larger than max"),
}  # fmt: skip


async def refused(besieged, kind):
    messages, code, words = WRONG[kind]
    async with AsyncExitStack() as stack:
        client = await opened(stack, besieged.address)
        await client.send(*messages)
        ended = await client.ended()

    assert ended is not None, kind
    assert ended[0] is code, (kind, ended)
    assert words in ended[1], (kind, ended)


async def test_what_is_wrong_ends_its_stream_with_a_sentence_and_harms_nobody(tmp_path):
    async with siege(tmp_path) as besieged:
        grown = []
        for _ in range(3):
            for kind in WRONG:
                await refused(besieged, kind)
            await besieged.is_well()
            grown.append(besieged.grown_mib())
        counted = await besieged.metric('modelyard_xds_streams_limited_total{limit="names"}')
        lines = await besieged.stop()

    assert counted == 3 * 6
    assert grown[0] < 2 * GROWTH_MIB
    assert grown[-1] - grown[0] < GROWTH_MIB / 2
    told = [line["limit"] for line in lines]
    assert set(told) == {"malformed", "names", "types", "node", "request_bytes"}
    assert max(told.count(limit) for limit in told) <= 2  # of the peer, and of the node
    assert all(line["consequence"] and line["reason"] for line in lines)


async def test_unknown_types_are_answered_with_nothing_and_told_of_once(tmp_path):
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        client = await opened(stack, besieged.address)
        for n in range(100):
            assert await client.send(delta(f"{UNKNOWN}.{n}"))
        await besieged.is_well()
        metrics = await besieged.get("/metrics")
        ended = await besieged.serving.stop()

    assert ended.stderr.count("xds.type.unserved") == 1
    assert "made.up" not in metrics


@pytest.mark.parametrize("method", [DELTA, SOTW])
async def test_a_flood_of_small_requests_ends(tmp_path, method):
    request = delta if method == DELTA else sotw
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        client = await opened(stack, besieged.address, method)
        flood = [request(CLUSTER), *[request(ENDPOINT)] * (LIMITS.requests * 2)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.send(*flood))
            took = [await besieged.edit() for _ in range(3)]
        code, words = await client.ended()
        await besieged.is_well()
        grown = besieged.grown_mib()
        [line] = await besieged.stop()

    assert code is EXHAUSTED
    assert "30000 requests at once" in words
    assert (line["limit"], line["node_id"]) == ("requests", "bad")
    assert max(took) < 10
    assert grown < GROWTH_MIB


async def test_a_flood_of_long_lists_waits_for_the_others(tmp_path):
    """Nor are they taken ahead: gRPC by itself would take hundreds of megabytes."""
    lists = [sotw(ENDPOINT, resource_names=names(90_000, n % 2 * 90_000)) for n in range(2)]
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        client = await opened(stack, besieged.address, SOTW)

        async def flood():
            while await client.send(*lists):
                pass

        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood())
            for _ in range(8):
                await besieged.edit()
            flooding.cancel()
        client.close()
        await besieged.is_well()
        grown = besieged.grown_mib()
        await besieged.stop()

    assert grown < GROWTH_MIB


async def test_who_never_reads_costs_one_response_and_is_forgotten_when_gone(tmp_path):
    deaf = 40
    asked = [sotw(url) for url in (CLUSTER, LISTENER, SCOPED_ROUTE)]
    async with siege(tmp_path) as besieged:
        async with AsyncExitStack() as stack:
            for n in range(deaf):
                # Half of them give no leave to send anything, the others leave it in the socket.
                client = await opened(
                    stack, besieged.address, SOTW, window=0 if n % 2 else 2**31 - 1
                )
                client.listen(listens=bool(n % 2))
                first = sotw(CLUSTER, f"deaf-{n}")
                await client.send(first, *asked)
            await besieged.streams_are(HONEST + deaf)
            for _ in range(5):
                await besieged.edit()
            grown = besieged.grown_mib()
        await besieged.streams_are(HONEST)
        await besieged.is_well()
        assert await besieged.stop() == []

    assert grown < GROWTH_MIB


async def test_streams_are_counted_for_each_node_and_for_all(tmp_path):
    room = LIMITS.streams_per_node + 2
    async with siege(tmp_path, "--max-streams", str(HONEST + room)) as besieged:
        async with AsyncExitStack() as stack:
            for _ in range(LIMITS.streams_per_node):
                client = await opened(stack, besieged.address)
                await client.send(delta(CLUSTER))
            await besieged.streams_are(HONEST + LIMITS.streams_per_node)
            one_more = await opened(stack, besieged.address)
            await one_more.send(delta(CLUSTER))
            of_node = await one_more.ended()
            for n in range(2):
                client = await opened(stack, besieged.address)
                await client.send(delta(CLUSTER, f"other-{n}"))
            await besieged.streams_are(HONEST + room)
            nobody_else = await opened(stack, besieged.address)
            of_all = await nobody_else.ended()
        await besieged.streams_are(HONEST)
        await besieged.is_well()
        lines = await besieged.stop()

    assert of_node == (
        EXHAUSTED, "a node can have 16 streams open: does another Envoy have the same node id?"
    )  # fmt: skip
    assert of_all == (
        EXHAUSTED,
        f"this control plane has {HONEST + room} streams open, and takes no more",
    )
    assert [line["limit"] for line in lines] == ["streams_of_node", "streams"]


async def test_streams_that_open_and_close_without_end_leave_nothing(tmp_path):
    async with siege(tmp_path) as besieged:
        for _ in range(10):
            async with AsyncExitStack() as stack:
                for n in range(30):
                    client = await opened(stack, besieged.address)
                    await client.send(delta(CLUSTER, f"comes-and-goes-{n}"))
        await besieged.streams_are(HONEST)
        await besieged.is_well()
        grown = besieged.grown_mib()
        await besieged.stop()

    assert grown < GROWTH_MIB


async def test_long_words_of_a_refusal_are_cut(tmp_path):
    words = "no " * 2**20
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        client = await opened(stack, besieged.address, SOTW)
        await client.send(sotw(UNKNOWN))
        async with asyncio.timeout(10):
            await until(lambda: client.received_bytes > 100)
        for nonce in range(1, 4):
            detail = status_pb2.Status(code=13, message=words)
            await client.send(sotw(UNKNOWN, response_nonce=str(nonce), error_detail=detail))
        await client.send(sotw(""))
        await client.ended()
        await besieged.is_well()
        status = await besieged.get("/status")
        grown = besieged.grown_mib()
        await besieged.stop()

    assert "no no no" in status
    assert len(status) < HONEST * 4_000 + 3 * KEPT_ERROR_CHARACTERS
    assert grown < GROWTH_MIB


@pytest.mark.parametrize("method", [DELTA, SOTW])
async def test_an_honest_burst_is_no_flood(tmp_path, method):
    """An Envoy with 10,000 clusters may ask for the endpoints of each in a request of its own."""
    burst = [
        delta(ENDPOINT, resource_names_subscribe=[name])
        if method == DELTA
        else sotw(ENDPOINT, resource_names=[name, *names(100)])
        for name in names(10_000)
    ]
    request = delta if method == DELTA else sotw
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        client = await opened(stack, besieged.address, method)
        assert await client.send(request(CLUSTER), *burst, request(LISTENER))
        await besieged.streams_are(HONEST + 1)
        await besieged.is_well()
        assert not client.stream_ended.is_set(), await client.ended()
        assert await besieged.stop() == []


def with_extensions(node_id: str) -> bytes:
    """Return a first request as long as an Envoy's: 57 KB, of which all but a line is not read."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=LISTENER)
    request.node.id = node_id
    for n in range(516):
        one = request.node.extensions.add(name=f"envoy.filters.http.extension_{n:04}")
        one.category = "envoy.filters.http"
        one.type_urls.append("envoy.extensions.filters.http.something.v3.Something")
    return request.SerializeToString()


async def test_what_an_envoy_tells_of_its_extensions_is_not_kept(tmp_path):
    """Kept, it would be 180 KB of each."""
    envoys = 500
    async with siege(tmp_path) as besieged, AsyncExitStack() as stack:
        for n in range(envoys):
            client = await opened(stack, besieged.address)
            await client.send(with_extensions(f"envoy-{n}"))
        await besieged.streams_are(HONEST + envoys)
        await besieged.is_well()
        assert besieged.grown_mib() < GROWTH_MIB
        assert await besieged.stop() == []
