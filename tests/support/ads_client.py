"""An xDS client over real gRPC, for both variants: subscribe, expect, ack, nack.

    async with AdsClient("127.0.0.1:18000", "delta") as client:
        await client.subscribe(CLUSTER)
        response = await client.expect(CLUSTER)
        await client.ack(response)
        await client.expect_nothing()

`expect_nothing` does not sleep: it asks for a type that nobody knows and sees that the answer to
that is the next thing it is told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from snapshots.snapshot import Resource, content_version
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, TypeUrl

VariantName = Literal["delta", "sotw"]

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"

TIMEOUT_S = 10.0
"""How long any expected response may take."""

MAX_MESSAGE_BYTES = 64 * 1024 * 1024

NAMED_BY: dict[str, tuple[Any, str]] = {
    CLUSTER: (cluster_pb2.Cluster, "name"),
    ENDPOINT: (endpoint_pb2.ClusterLoadAssignment, "cluster_name"),
    LISTENER: (listener_pb2.Listener, "name"),
    SCOPED_ROUTE: (scoped_route_pb2.ScopedRouteConfiguration, "name"),
    ROUTE: (route_pb2.RouteConfiguration, "name"),
}


@dataclass(frozen=True)
class Told:
    """A response of either variant."""

    type_url: TypeUrl
    version: str
    """`version_info` or `system_version_info`."""
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]
    nonce: str

    @property
    def names(self) -> list[str]:
        """The names of the resources, in their order."""
        return [resource.name for resource in self.resources]


class AdsClient:
    """One Envoy, as far as its ADS stream shows; knows what it has ACKed."""

    def __init__(
        self,
        address: str,
        variant: VariantName,
        node_id: str = "test",
        node_cluster: str = "",
        *,
        node: base_pb2.Node | None = None,
    ) -> None:
        self.address = address
        self.variant = variant
        self.node = node or base_pb2.Node(id=node_id, cluster=node_cluster)
        self.held: dict[TypeUrl, dict[str, Resource]] = {}
        self._names: dict[TypeUrl, tuple[str, ...]] = {}
        self._versions: dict[TypeUrl, str] = {}
        self._nonces: dict[TypeUrl, str] = {}
        self._barriers = 0
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None
        self._sent_node = False

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(
            self.address,
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                # Clients of one test are Envoys of their own, each with a connection.
                ("grpc.use_local_subchannel_pool", 1),
            ),
        )
        self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call.cancel()
        if self._channel:
            await self._channel.close()

    def open(self) -> None:
        """Open a stream, beside the one that is open; say nothing yet."""
        assert self._channel
        method, request, response = {
            "delta": (
                "DeltaAggregatedResources",
                discovery_pb2.DeltaDiscoveryRequest,
                discovery_pb2.DeltaDiscoveryResponse,
            ),
            "sotw": (
                "StreamAggregatedResources",
                discovery_pb2.DiscoveryRequest,
                discovery_pb2.DiscoveryResponse,
            ),
        }[self.variant]
        self._call = self._channel.stream_stream(
            f"{SERVICE}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )()
        self._sent_node = False
        self._nonces.clear()

    async def reconnect(self) -> None:
        """Drop the stream, open another one and ask for the same, telling what is held."""
        self._call.cancel()
        self.open()
        for type_url, names in self._names.items():
            await self._ask(type_url, names)

    async def go_on_for(self, before: AdsClient) -> None:
        """Hold what *before* holds, and ask for what it asked for: it lost its control plane."""
        self.held, self._names, self._versions = before.held, before._names, before._versions
        await self.reconnect()

    async def subscribe(self, type_url: TypeUrl, *names: str) -> None:
        """Ask for exactly *names* for the first time, or by none for the legacy wildcard."""
        self._names[type_url] = names
        await self._ask(type_url, names)

    async def add(self, type_url: TypeUrl, *names: str) -> None:
        """Ask for *names* too."""
        self._names[type_url] += names
        if self.variant == "delta":
            await self.say_delta(type_url=type_url, resource_names_subscribe=names)
        else:
            await self._say_sotw(type_url)

    async def drop(self, type_url: TypeUrl, *names: str) -> None:
        """Ask for *names* no more."""
        self._names[type_url] = tuple(n for n in self._names[type_url] if n not in names)
        if self.variant == "delta":
            await self.say_delta(type_url=type_url, resource_names_unsubscribe=names)
        else:
            await self._say_sotw(type_url)

    async def expect(self, type_url: TypeUrl) -> Told:
        """Return the next response, which must be for *type_url*."""
        told = await self.read()
        assert told.type_url == type_url, told
        return told

    async def expect_nothing(self) -> None:
        """Return when it is sure that the server has nothing to say."""
        self._barriers += 1
        barrier = TypeUrl(f"type.googleapis.com/barrier.{self._barriers}")
        if self.variant == "delta":
            await self.say_delta(type_url=barrier)
        else:
            await self._write(discovery_pb2.DiscoveryRequest(type_url=barrier))
        told = await self.read()
        assert told.type_url == barrier, told

    async def ack(self, told: Told) -> None:
        """Accept *told*."""
        held = self.held.setdefault(told.type_url, {})
        held.update({resource.name: resource for resource in told.resources})
        for name in told.removed:
            held.pop(name, None)
        self._versions[told.type_url] = told.version
        await self._answer(told, None)

    async def nack(self, told: Told, error_detail: str = "no") -> None:
        """Refuse *told* as a whole."""
        await self._answer(told, error_detail)

    async def settle(self) -> list[Told]:
        """Accept everything until there is nothing more; return what was told."""
        heard = []
        while True:
            self._barriers += 1
            barrier = TypeUrl(f"type.googleapis.com/barrier.{self._barriers}")
            await self._ask(barrier, ())
            quiet = True
            while (told := await self.read()).type_url != barrier:
                quiet = False
                heard.append(told)
                await self.ack(told)
            if quiet:
                return heard

    async def read(self) -> Told:
        """Return the next response."""
        async with asyncio.timeout(TIMEOUT_S):
            message = await self._call.read()
        assert message is not grpc.aio.EOF, "the server ended the stream"
        return read_delta(message) if self.variant == "delta" else read_sotw(message)

    async def half_close(self) -> None:
        """Say that nothing more will be said."""
        await self._call.done_writing()

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """Wait until the server ends the stream; return how."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._call.code(), await self._call.details()

    async def say_delta(self, **fields: Any) -> None:
        """Write any delta request."""
        await self._write(discovery_pb2.DeltaDiscoveryRequest(**fields))

    async def _ask(self, type_url: TypeUrl, names: tuple[str, ...]) -> None:
        if self.variant == "sotw":
            await self._say_sotw(type_url)
            return
        held = self.held.get(type_url, {})
        await self.say_delta(
            type_url=type_url,
            resource_names_subscribe=names,
            initial_resource_versions={name: r.version for name, r in held.items()},
        )

    async def _answer(self, told: Told, error_detail: str | None) -> None:
        self._nonces[told.type_url] = told.nonce
        if self.variant == "sotw":
            await self._say_sotw(told.type_url, error_detail)
            return
        message = discovery_pb2.DeltaDiscoveryRequest(
            type_url=told.type_url, response_nonce=told.nonce
        )
        if error_detail is not None:
            message.error_detail.message = error_detail
        await self._write(message)

    async def _say_sotw(self, type_url: TypeUrl, error_detail: str | None = None) -> None:
        message = discovery_pb2.DiscoveryRequest(
            type_url=type_url,
            resource_names=self._names.get(type_url, ()),
            version_info=self._versions.get(type_url, ""),
            response_nonce=self._nonces.get(type_url, ""),
        )
        if error_detail is not None:
            message.error_detail.message = error_detail
        await self._write(message)

    async def _write(self, message: Any) -> None:
        if not self._sent_node:
            message.node.CopyFrom(self.node)
            self._sent_node = True
        await self._call.write(message)


def read_delta(message: discovery_pb2.DeltaDiscoveryResponse) -> Told:
    """Return what *message* tells."""
    resources = tuple(
        Resource(TypeUrl(r.resource.type_url), r.name, r.resource.value, r.version)
        for r in message.resources
    )
    return Told(
        TypeUrl(message.type_url),
        message.system_version_info,
        resources,
        tuple(message.removed_resources),
        message.nonce,
    )


def read_sotw(message: discovery_pb2.DiscoveryResponse) -> Told:
    """Return what *message* tells."""
    resources = tuple(map(_named, message.resources))
    return Told(TypeUrl(message.type_url), message.version_info, resources, (), message.nonce)


def _named(packed: any_pb2.Any) -> Resource:
    kind, field = NAMED_BY[packed.type_url]
    name = getattr(kind.FromString(packed.value), field)
    version = content_version([name.encode(), packed.value])
    return Resource(TypeUrl(packed.type_url), name, packed.value, version)
