"""The AggregatedDiscoveryService on grpc.aio: one method for each variant.

The methods are generic handlers over protobuf's own messages. The service of one type alone
(`StreamClusters` and so on) is not offered: Envoy is bootstrapped with ADS.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from prometheus_client import CollectorRegistry

from xds_server.ads.messages import read_delta, read_node, read_sotw, write_delta, write_sotw
from xds_server.ads.metrics import AdsMetrics
from xds_server.ads.shared import Shared
from xds_server.ads.stream import EOF, AdsStream, Variant
from xds_server.fleet import Fleet
from xds_server.guard.door import Door
from xds_server.protocol.delta import DeltaSession
from xds_server.protocol.sotw import SotwSession
from xds_server.store import SnapshotStore

SERVICE_NAME = "envoy.service.discovery.v3.AggregatedDiscoveryService"

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Room for a state of the world that cannot be split; Envoy receives messages of any size."""

MAX_WAITING_STREAMS = 20_000
"""Far more than the Envoys that one process can serve."""

MAX_WAIT_S = 300
"""How long a stream may wait until it is begun; 5,000 Envoys at once take less than a minute."""

SERVER_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Find out that an Envoy is gone even if its machine vanished without a word.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Envoys may be set to send keepalives as often as this.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    # A second process on the same port would take half of the Envoys without a word.
    ("grpc.so_reuseport", 0),
    # A whole fleet may come back at once. By itself, gRPC resets some of the streams that wait to
    # be begun if there are more than 1,000, all above 3,000, and each that waits for 30 s.
    ("grpc.server.max_pending_requests", MAX_WAITING_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_WAITING_STREAMS),
    ("grpc.server_max_unrequested_time_in_server", MAX_WAIT_S),
)
"""Channel arguments for the `grpc.aio.server` that carries the service."""

DELTA = Variant(
    "delta",
    lambda node, _archive: DeltaSession(is_envoy=node.is_envoy),
    read_delta,
    write_delta,
)
SOTW = Variant(
    "sotw",
    lambda node, archive: SotwSession(archive, is_envoy=node.is_envoy),
    read_sotw,
    write_sotw,
)

Context = grpc.aio.ServicerContext[Any, Any]


class AdsService:
    """Serve what *store* holds to every Envoy that asks, and tell *fleet* what they answer."""

    def __init__(
        self,
        store: SnapshotStore,
        fleet: Fleet,
        metrics: CollectorRegistry,
        door: Door,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = Shared(store, fleet, AdsMetrics(metrics), clock)
        self._door = door
        if store.current:
            nodes = tuple(store.current.snapshot.nodes.values())
            self._shared.archive.remember_all(nodes)
            for node in nodes:
                self._shared.archive.remember_all(fleet.refusals.quarantine.served_instead(node))

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the handler of the service's two methods."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._behaviour(SOTW),
                    request_deserializer=discovery_pb2.DiscoveryRequest.FromString,
                ),
                "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(
                    self._behaviour(DELTA),
                    request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
                ),
            },
        )

    def close(self) -> None:
        """End every stream with UNAVAILABLE, so that its Envoy connects to another replica.

        Streams that open later end at once. Call it before `server.stop(grace)`, which otherwise
        waits the whole grace for streams that never end by themselves.
        """
        self._shared.closing.set()

    def _behaviour(self, variant: Variant) -> Callable[[object, Context], Awaitable[None]]:
        async def serve(_requests: object, context: Context) -> None:
            if refused := self._door.stranger(context):
                await context.abort(refused.code, refused.details)
            first = await context.read()
            if first is EOF:
                return
            if not first.node.id:
                await context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "the first request of a stream must tell its node, with an id",
                )
            if refused := self._door.impostor(context, first.node.id):
                await context.abort(refused.code, refused.details)
            stream = AdsStream(context, variant, read_node(first.node), self._shared)
            await stream.run(first)

        return serve


def add_ads(  # noqa: PLR0913 - what is not always needed is given by name
    server: grpc.aio.Server,
    store: SnapshotStore,
    fleet: Fleet,
    metrics: CollectorRegistry | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    door: Door | None = None,
) -> AdsService:
    """Add the ADS service to *server*, which should have been made with `SERVER_OPTIONS`.

    Its metrics go into *metrics*, if given; *door* says who may open a stream (None: everybody);
    *clock* tells seconds, for durations only.

    The caller adds ports, starts the server, and at the end calls `close` on what is returned here,
    then `server.stop(grace)`.
    """
    service = AdsService(store, fleet, metrics or CollectorRegistry(), door or Door(), clock)
    server.add_generic_rpc_handlers((service.handler(),))
    return service
