"""A real xDS stream that asks for all clusters and accepts whatever comes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from snapshots.type_urls import CLUSTER

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


class ClusterStream:
    """The stream of one node."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self._call = call

    async def next(self) -> tuple[set[str], set[str]]:
        """Return names of the clusters of the next response, new or changed and removed; ACK it.

        Raises grpc.aio.AioRpcError when the server ends the stream.
        """
        response = await self._call.read()
        if response is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(
                await self._call.code(),
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                await self._call.details(),
            )
        await self._call.write(
            discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=response.nonce)
        )
        names = {resource.name for resource in response.resources}
        return names, set(response.removed_resources)


@asynccontextmanager
async def cluster_stream(xds_address: object) -> AsyncIterator[ClusterStream]:
    """Ask the control plane at *xds_address* for all clusters, as the node `envoy-1`."""
    async with grpc.aio.insecure_channel(str(xds_address)) as channel:
        method = channel.stream_stream(
            METHOD,
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )
        call = method()
        first = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER)
        first.node.id, first.node.cluster = "envoy-1", "default"
        await call.write(first)
        yield ClusterStream(call)
        call.cancel()
