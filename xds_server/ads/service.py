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
from xds_server.ads.shared import Shared, Variant
from xds_server.ads.stream import AdsStream
from xds_server.fleet import Fleet
from xds_server.guard import limits
from xds_server.guard.door import Door
from xds_server.guard.endings import Endings
from xds_server.guard.entrance import Entrance, MessageReader
from xds_server.guard.limits import Limits
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
    ("grpc.max_receive_message_length", limits.GRPC_MESSAGE_BYTES),
    # By itself gRPC takes ahead as much as comes fast enough: hundreds of megabytes.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", limits.READ_AHEAD_BYTES),
    ("grpc.max_concurrent_streams", limits.STREAMS_PER_CONNECTION),
    ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_MS),
    ("grpc.max_connection_idle_ms", limits.IDLE_CONNECTION_MS),
    # Find out that an Envoy is gone even if its machine vanished without a word.
    ("grpc.keepalive_time_ms", limits.KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", limits.KEEPALIVE_TIMEOUT_MS),
    # Of any ping; a minute unless told otherwise, and the longer one of the two counts.
    ("grpc.http2.ping_timeout_ms", limits.KEEPALIVE_TIMEOUT_MS),
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

METHODS = {"StreamAggregatedResources": "sotw", "DeltaAggregatedResources": "delta"}

Context = grpc.aio.ServicerContext[Any, Any]


def _variants(kept: Limits) -> dict[str, Variant]:
    delta = Variant(
        "delta",
        lambda node, _archive: DeltaSession(is_envoy=node.is_envoy),
        MessageReader(discovery_pb2.DeltaDiscoveryRequest, kept),
        read_delta,
        write_delta,
    )
    sotw = Variant(
        "sotw",
        lambda node, archive: SotwSession(archive, is_envoy=node.is_envoy),
        MessageReader(discovery_pb2.DiscoveryRequest, kept),
        read_sotw,
        write_sotw,
    )
    return {variant.name: variant for variant in (delta, sotw)}


class AdsService:
    """Serve what *store* holds to every Envoy that asks, and tell *fleet* what they answer."""

    def __init__(self, shared: Shared, door: Door) -> None:
        self._shared = shared
        self._entrance = Entrance(door, shared.endings, shared.limits, shared.clock)
        if shared.store.current:
            nodes = tuple(shared.store.current.snapshot.nodes.values())
            shared.archive.remember_all(nodes)
            quarantine = shared.fleet.refusals.quarantine
            for node in nodes:
                shared.archive.remember_all(quarantine.served_instead(node))

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return the handler of the service's two methods; requests stay bytes until measured."""
        variants = _variants(self._shared.limits)
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                method: grpc.stream_stream_rpc_method_handler(self._behaviour(variants[name]))
                for method, name in METHODS.items()
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
            async with self._entrance.guest(context, variant.reader) as guest:
                if guest is not None:
                    node = read_node(guest.first.node)
                    stream = AdsStream(context, variant, node, self._shared, guest.allowance)
                    stream.begin(guest.take(), guest.size)
                    await stream.run()

        return serve


def add_ads(  # noqa: PLR0913 - what is not always needed is given by name
    server: grpc.aio.Server,
    store: SnapshotStore,
    fleet: Fleet,
    metrics: CollectorRegistry | None = None,
    clock: Callable[[], float] = time.monotonic,
    *,
    door: Door | None = None,
    kept: Limits | None = None,
    endings: Endings | None = None,
) -> AdsService:
    """Add the ADS service to *server*, which should have been made with `SERVER_OPTIONS`.

    Its metrics go into *metrics*, if given; *door* says who may open a stream (None: everybody),
    *kept* are the limits of each, and *endings* tells of those that go beyond one; *clock* tells
    seconds, for durations only.

    The caller adds ports, starts the server, and at the end calls `close` on what is returned here,
    then `server.stop(grace)`.
    """
    metrics, kept = metrics or CollectorRegistry(), kept or Limits()
    endings = endings or Endings(metrics, clock)
    shared = Shared(store, fleet, AdsMetrics(metrics), clock, kept, endings)
    service = AdsService(shared, door or Door())
    server.add_generic_rpc_handlers((service.handler(),))
    return service
