"""Envoys are asked for load reports while something leaves, and what they say is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from envoy.service.load_stats.v3 import lrs_pb2
from prometheus_client import CollectorRegistry

from xds_server.guard.door import Door, Refused
from xds_server.guard.endings import Endings
from xds_server.guard.entrance import Entrance
from xds_server.guard.limits import Limits
from xds_server.load_reports import service as service_module
from xds_server.load_reports.service import SERVICE_NAME, add_load_reports
from xds_server.loads import Loads

WITHIN_S = 10.0


@pytest.fixture
def loads() -> Loads:
    return Loads()


@asynccontextmanager
async def serving(
    loads: Loads,
    door: Door | None = None,
    kept: Limits | None = None,
    is_here: Callable[[str], bool] = lambda _: True,
) -> AsyncIterator[tuple]:
    """Run the service; yields it, and what opens a stream to it."""
    server = grpc.aio.server()
    entrance = Entrance(door or Door(), Endings(CollectorRegistry()), kept or Limits())
    service = add_load_reports(server, loads, entrance, is_here)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(WITHIN_S), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as to:
            yield (
                service,
                to.stream_stream(
                    f"/{SERVICE_NAME}/StreamLoadStats",
                    request_serializer=lrs_pb2.LoadStatsRequest.SerializeToString,
                    response_deserializer=lrs_pb2.LoadStatsResponse.FromString,
                ),
            )
    finally:
        service.close()
        await server.stop(0)


def hello(node_id: str = "envoy-1") -> lrs_pb2.LoadStatsRequest:
    request = lrs_pb2.LoadStatsRequest()
    request.node.id = node_id
    return request


def report(cluster: str, in_progress: int) -> lrs_pb2.LoadStatsRequest:
    request = lrs_pb2.LoadStatsRequest()
    server = request.cluster_stats.add(cluster_name=cluster).upstream_locality_stats.add()
    stats = server.upstream_endpoint_stats.add(total_requests_in_progress=in_progress)
    stats.address.socket_address.address = "10.0.0.1"
    stats.address.socket_address.port_value = 8000
    return request


async def until(is_so) -> None:
    while not is_so():  # noqa: ASYNC110 - what was read shows in what is known alone
        await asyncio.sleep(0.005)


async def test_an_envoy_is_asked_once_something_is_wanted_and_told_when_no_more(loads: Loads):
    async with serving(loads) as (_, opened):
        stream = opened()
        await stream.write(hello())
        await until(lambda: loads.of("envoy-1"))
        loads.ask(["pool/b", "pool/a"])
        asked = await stream.read()
        loads.ask([])
        no_more = await stream.read()

    assert (list(asked.clusters), asked.report_endpoint_granularity) == (["pool/a", "pool/b"], True)
    assert asked.load_reporting_interval.ToMilliseconds() == 250
    assert (list(no_more.clusters), no_more.load_reporting_interval.ToSeconds()) == ([], 3600)


async def test_what_it_says_is_known_as_far_as_it_was_asked(loads: Loads):
    loads.ask(["pool/a"])
    async with serving(loads) as (_, opened):
        stream = opened()
        await stream.write(hello())
        await stream.read()
        await stream.write(report("pool/other", 7))
        await stream.write(report("pool/a", 3))
        await until(lambda: (said := loads.of("envoy-1")) and said.latest.in_progress)
        said = loads.of("envoy-1")
        stream.cancel()
        await until(lambda: loads.of("envoy-1") is None)

    assert (said.before.told, said.latest.told) == (frozenset(), {"pool/a"})
    assert not said.tells_of("pool/a", 0.0)
    assert said.of("pool/a") == said.of("pool/a", ("10.0.0.1", 8000)) == 3
    assert said.of("pool/other") == said.of("pool/a", ("10.0.0.2", 8000)) == 0


async def test_an_envoy_that_connects_later_is_asked_what_is_wanted_then(loads: Loads):
    loads.ask(["pool/a"])
    async with serving(loads) as (_, opened):
        stream = opened()
        await stream.write(hello())

        assert list((await stream.read()).clusters) == ["pool/a"]


async def test_who_does_not_say_who_it_is_is_refused(loads: Loads):
    async with serving(loads) as (_, opened):
        stream = opened()
        await stream.write(hello(""))

        assert await stream.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_reports_without_end_end_their_stream(loads: Loads):
    async with serving(loads, kept=Limits(requests=5, requests_per_s=0.1)) as (_, opened):
        stream = opened()
        for _ in range(7):
            await stream.write(hello())

        assert await stream.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await until(lambda: loads.of("envoy-1") is None)


async def test_a_report_too_large_ends_its_stream(loads: Loads):
    async with serving(loads, kept=Limits(request_bytes=100)) as (_, opened):
        stream = opened()
        await stream.write(hello())
        await stream.write(report("c" * 100, 1))

        assert await stream.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


class ClosedDoor(Door):
    """Lets nobody in as the node `stranger`."""

    def impostor(self, context, node_id: str) -> Refused | None:
        refused = Refused(grpc.StatusCode.PERMISSION_DENIED, "no")
        return refused if node_id == "stranger" else None


async def test_nobody_reports_for_an_envoy_that_it_may_not_be(loads: Loads):
    async with serving(loads, ClosedDoor()) as (_, opened):
        stream = opened()
        await stream.write(hello("stranger"))

        assert await stream.code() == grpc.StatusCode.PERMISSION_DENIED
        assert loads.of("stranger") is None


async def test_streams_end_when_the_service_is_closed(loads: Loads):
    async with serving(loads) as (service, opened):
        stream = opened()
        await stream.write(hello())
        await until(lambda: loads.of("envoy-1"))
        service.close()

        assert await stream.code() == grpc.StatusCode.UNAVAILABLE


async def test_an_envoy_that_gets_its_configuration_elsewhere_is_sent_there(
    loads: Loads, monkeypatch
):
    monkeypatch.setattr(service_module, "ELSEWHERE_S", 0.05)
    here = {"envoy-1"}
    async with serving(loads, is_here=lambda node_id: node_id in here) as (_, opened):
        stream = opened()
        await stream.write(hello())
        loads.ask(["pool/a"])
        await stream.read()
        here.clear()

        assert await stream.code() == grpc.StatusCode.FAILED_PRECONDITION
        await until(lambda: loads.of("envoy-1") is None)


async def test_many_envoys_report_less_often(loads: Loads):
    for number in range(1000):
        loads.opened(f"envoy-{number}")
    loads.ask([f"pool/{number}" for number in range(100)])

    assert loads.question.interval_s == 2


async def test_envoys_are_not_asked_anew_for_less(loads: Loads):
    loads.ask(["pool/a", "pool/b"])
    asked = loads.question
    loads.ask(["pool/a"])

    assert loads.question is asked
    loads.ask(["pool/a", "pool/c"])
    assert loads.question.clusters == {"pool/a", "pool/c"}
