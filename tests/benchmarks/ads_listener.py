"""An ADS client that asks for what an Envoy asks for, accepts everything, and keeps the tally."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import Node
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.service.discovery.v3 import discovery_pb2 as discovery

from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl
from xds_server.ads.metrics import SHORT_NAMES
from xds_server.ads.service import MAX_MESSAGE_BYTES, SERVICE_NAME
from xds_server.bootstrap import Variant

METHODS = {
    "delta": (
        "DeltaAggregatedResources",
        discovery.DeltaDiscoveryRequest,
        discovery.DeltaDiscoveryResponse,
    ),
    "sotw": (
        "StreamAggregatedResources",
        discovery.DiscoveryRequest,
        discovery.DiscoveryResponse,
    ),
}
NAMED_BY = {ENDPOINT: CLUSTER, ROUTE: SCOPED_ROUTE}
"""The types that are asked for by name, and where the names come from."""


@dataclass(slots=True)
class Tally:
    """What was received."""

    responses: int = 0
    resources: int = 0
    removed: int = 0
    wire_bytes: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    """Resources by the short name of their type."""

    def add(self, response: Any) -> None:
        self.responses += 1
        self.resources += len(response.resources)
        self.removed += len(getattr(response, "removed_resources", ()))
        self.wire_bytes += response.ByteSize()
        kind = SHORT_NAMES[response.type_url]
        self.kinds[kind] = self.kinds.get(kind, 0) + len(response.resources)


class AdsListener:
    """One stream."""

    def __init__(self, call: grpc.aio.StreamStreamCall, variant: Variant, node_id: str) -> None:
        self.tally = Tally()
        self._call = call
        # It behaves as an Envoy, so it counts as one: it has converged only with all types.
        self._node = Node(id=node_id, cluster="default", user_agent_name="envoy")
        self._request = METHODS[variant][1]
        self._is_delta = variant == "delta"
        self._names: dict[TypeUrl, list[str]] = {}
        self._versions: dict[TypeUrl, str] = {}
        self._nonces: dict[TypeUrl, str] = {}

    def lap(self) -> Tally:
        """Return what was received since the last call."""
        lap, self.tally = self.tally, Tally()
        return lap

    async def listen(self) -> None:
        """Ask, and accept until cancelled."""
        for type_url in (CLUSTER, LISTENER, SCOPED_ROUTE):
            await self._send(type_url)
        while (response := await self._call.read()) is not grpc.aio.EOF:
            self.tally.add(response)
            await self._accept(response)

    async def _accept(self, response: Any) -> None:
        type_url = response.type_url
        self._nonces[type_url] = response.nonce
        self._versions[type_url] = "" if self._is_delta else response.version_info
        await self._send(type_url, nonce=response.nonce)
        for named, naming in NAMED_BY.items():
            if naming == type_url:
                await self._ask_by_name(named, self._names_in(response))

    async def _ask_by_name(self, type_url: TypeUrl, names: list[str]) -> None:
        new = [name for name in names if name not in set(self._names.get(type_url, ()))]
        if not new:
            return
        self._names[type_url] = [*self._names.get(type_url, ()), *new]
        await self._send(type_url, subscribe=new)

    async def _send(self, type_url: TypeUrl, *, nonce: str = "", subscribe: Any = ()) -> None:
        request = self._request(type_url=type_url, response_nonce=nonce)
        request.node.CopyFrom(self._node)
        if self._is_delta:
            request.resource_names_subscribe.extend(subscribe)
        else:
            request.response_nonce = self._nonces.get(type_url, "")
            request.version_info = self._versions.get(type_url, "")
            request.resource_names.extend(self._names.get(type_url, ()))
        await self._call.write(request)

    def _names_in(self, response: Any) -> list[str]:
        """Return what the resources of *response* refer to."""
        bodies = [part.resource if self._is_delta else part for part in response.resources]
        if response.type_url == SCOPED_ROUTE:
            scopes = [ScopedRouteConfiguration.FromString(body.value) for body in bodies]
            return [scope.route_configuration_name for scope in scopes]
        clusters = [Cluster.FromString(body.value) for body in bodies]
        return [cluster.name for cluster in clusters if cluster.type == Cluster.EDS]


@asynccontextmanager
async def listener(
    address: str, variant: Variant, node_id: str = "listener"
) -> AsyncIterator[AdsListener]:
    """Keep one stream to the control plane at *address* meanwhile."""
    method, _request, response = METHODS[variant]
    options = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.stream_stream(
            f"/{SERVICE_NAME}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )()
        client = AdsListener(call, variant, node_id)
        listening = asyncio.ensure_future(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
