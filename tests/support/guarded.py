"""A control plane that is guarded, and raw gRPC clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3 import discovery_pb2

from snapshots.type_urls import CLUSTER
from tests.support import serve_process
from tests.support.certificates import Authority
from tests.support.serve_process import Serving

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
TIMEOUT_S = 20.0

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Keys:
    """The files of a control plane that speaks mTLS."""

    folder: Path
    servers: Authority = field(default_factory=lambda: Authority("servers"))
    envoys: Authority = field(default_factory=lambda: Authority("envoys"))

    def write(self) -> tuple[str, ...]:
        """Write the files; return the flags of `serve` for them."""
        certificate, key = self.servers.write(self.folder, "server", "localhost")
        authorities = self.folder / "envoys-ca.pem"
        authorities.write_bytes(self.envoys.pem)
        (self.folder / "servers-ca.pem").write_bytes(self.servers.pem)
        return (
            "--tls-cert", str(certificate), "--tls-key", str(key), "--client-ca", str(authorities)
        )  # fmt: skip


@asynccontextmanager
async def guarded(registry: Path, *flags: str) -> AsyncIterator[Serving]:
    """Serve *registry* at `localhost`, which is in the certificate."""
    async with serve_process.serving(registry, *flags, xds_address="localhost:0") as serving:
        yield serving


@asynccontextmanager
async def channel(
    address: str, ca: bytes | None = None, own: tuple[bytes, bytes] | None = None
) -> AsyncIterator[grpc.aio.Channel]:
    """Connect to *address*: by TLS if *ca* is given, and with an *own* certificate and key."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    if ca is None:
        opened = grpc.aio.insecure_channel(address, options)
    else:
        chain, key = own or (None, None)
        credentials = grpc.ssl_channel_credentials(ca, private_key=key, certificate_chain=chain)
        opened = grpc.aio.secure_channel(address, credentials, options)
    try:
        yield opened
    finally:
        await opened.close()


def stream(opened: grpc.aio.Channel, metadata: Metadata = ()) -> Any:
    """Open a delta stream."""
    return opened.stream_stream(
        METHOD,
        request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
        response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
    )(metadata=metadata)


async def ask(call: Any, node_id: str = "envoy-1", type_url: str = CLUSTER) -> Any:
    """Ask as a node; return the answer, or the status with which the server refused."""
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url)
    request.node.id = node_id
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await call.write(request)
            answer = await call.read()
            return await call.code() if answer is grpc.aio.EOF else answer
    except grpc.aio.AioRpcError as error:
        return error.code()
    except asyncio.InvalidStateError:  # refused before it was asked
        return await call.code()
