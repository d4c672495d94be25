"""The LoadReportingService on grpc.aio: asks each Envoy what is in progress, while that matters.

Source: "Load Reporting Service (LRS)" and "load_stats_config" of the API reference. Envoy 1.40 says
who it is and then waits to be asked; it counts the servers that it has been told of and no others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import thread_time
from typing import Any

import grpc
from envoy.config.endpoint.v3.load_report_pb2 import ClusterStats
from envoy.service.load_stats.v3 import lrs_pb2
from prometheus_client import CollectorRegistry

from xds_server.guard.allowance import Allowance
from xds_server.guard.door import Door
from xds_server.guard.endings import Endings
from xds_server.guard.entrance import CANCELLED_WITHIN_S, EOF, Entrance, MessageReader
from xds_server.guard.limits import LimitError, Limits
from xds_server.loads import Loads, NodeLoad, Place, Question, Report

SERVICE_NAME = "envoy.service.load_stats.v3.LoadReportingService"

AN_HOUR_S = 3600
"""Between the empty reports of an Envoy that is asked nothing."""
ELSEWHERE_S = 2.0
"""How often is looked whether an Envoy that reports is connected for its configuration, too."""
ELSEWHERE = "reports go to the control plane that this Envoy gets its configuration from"

Context = grpc.aio.ServicerContext[Any, Any]


class LoadReportService:
    """Ask every Envoy what *loads* wants to know, and write there what they say."""

    def __init__(self, loads: Loads, entrance: Entrance, is_here: Callable[[str], bool]) -> None:
        """*is_here* tells whether the Envoy of an id gets its configuration from this process."""
        self._is_here = is_here
        self._loads = loads
        self._entrance = entrance
        self._reader = MessageReader(lrs_pb2.LoadStatsRequest, entrance.limits)
        self._closing = asyncio.Event()

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the handler of the service's one method."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "StreamLoadStats": grpc.stream_stream_rpc_method_handler(
                    self._serve,
                    response_serializer=lrs_pb2.LoadStatsResponse.SerializeToString,
                )
            },
        )

    def close(self) -> None:
        """End every stream with UNAVAILABLE; those that open later end at once."""
        self._closing.set()

    async def _serve(self, _requests: object, context: Context) -> None:
        async with self._entrance.guest(context, self._reader) as guest:
            if guest is None:
                return
            node_id = guest.take().node.id
            load = self._loads.opened(node_id)
            try:
                problem = await self._listen(context, node_id, load, guest.allowance)
            finally:
                self._loads.closed(node_id, load)
            if problem is not None:
                raise problem

    async def _listen(
        self, context: Context, node_id: str, load: NodeLoad, allowance: Allowance
    ) -> LimitError | None:
        """Ask, and write down what is told; return what it went beyond, if that ended it."""
        problem = None
        async with asyncio.TaskGroup() as tasks:
            helpers = [
                tasks.create_task(self._ask(context)),
                tasks.create_task(self._watch_closing(context)),
                tasks.create_task(self._watch_presence(context, node_id)),
            ]
            try:
                await self._read(context, load, allowance)
            except LimitError as error:
                problem = error
            for helper in helpers:
                helper.cancel()
        return problem

    async def _read(self, context: Context, load: NodeLoad, allowance: Allowance) -> None:
        with suppress(grpc.aio.AbortError):  # raised here when _watch_closing aborts
            while (data := await context.read()) is not EOF:
                began = thread_time()
                allowance.asked(len(data))
                load.reported(_read(self._reader.parse(data), self._loads.question.clusters))
                if pause_s := allowance.worked(thread_time() - began):
                    await asyncio.sleep(pause_s)
            await asyncio.sleep(CANCELLED_WITHIN_S)

    async def _ask(self, context: Context) -> None:
        serial = 0
        while True:
            question = await self._loads.newer_than(serial)
            serial = question.serial
            await context.write(_written(question))

    async def _watch_closing(self, context: Context) -> None:
        await self._closing.wait()
        with suppress(grpc.aio.AbortError):  # which also ends the read that is going on
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the control plane is stopping")

    async def _watch_presence(self, context: Context, node_id: str) -> None:
        """End the stream of an Envoy that gets its configuration elsewhere: it is asked there.

        Of several control planes Envoy chooses one for each of its streams; it takes the next one
        for this stream then. It comes with its other stream, or a moment before.
        """
        while True:
            await asyncio.sleep(ELSEWHERE_S)
            if not self._is_here(node_id):
                break
        with suppress(grpc.aio.AbortError):
            # With another code Envoy might leave this control plane out for its other stream, too.
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, ELSEWHERE)


def _written(question: Question) -> lrs_pb2.LoadStatsResponse:
    response = lrs_pb2.LoadStatsResponse(
        clusters=sorted(question.clusters), report_endpoint_granularity=True
    )
    interval_s = question.interval_s if question.clusters else AN_HOUR_S
    response.load_reporting_interval.FromMilliseconds(int(interval_s * 1000))
    return response


def _read(report: lrs_pb2.LoadStatsRequest, asked: frozenset[str]) -> Report:
    """Return *report* as far as it was *asked* for."""
    clusters = [c for c in report.cluster_stats if c.cluster_name in asked]
    told = asked & {cluster.cluster_name for cluster in clusters}
    at = asyncio.get_running_loop().time()
    return Report(at, asked if told == asked else told, dict(_in_progress(clusters)))


def _in_progress(clusters: Iterable[ClusterStats]) -> Iterator[tuple[Place, int]]:
    for cluster in clusters:
        for locality in cluster.upstream_locality_stats:
            for server in locality.upstream_endpoint_stats:
                if server.total_requests_in_progress:
                    where = server.address.socket_address
                    place = (cluster.cluster_name, where.address, where.port_value)
                    yield place, server.total_requests_in_progress


def add_load_reports(
    server: grpc.aio.Server,
    loads: Loads,
    entrance: Entrance | None = None,
    is_here: Callable[[str], bool] = lambda _node_id: True,
) -> LoadReportService:
    """Add the service to *server*; before `server.stop(grace)`, call `close` on what is returned.

    It belongs beside ADS, with an *entrance* of its own by the same door: nobody else may say that
    an Envoy is idle. None lets everybody in.
    """
    entrance = entrance or Entrance(Door(), Endings(CollectorRegistry()), Limits())
    service = LoadReportService(loads, entrance, is_here)
    server.add_generic_rpc_handlers((service.handler(),))
    return service
