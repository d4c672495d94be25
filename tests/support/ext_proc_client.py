"""A companion in this process, and calls to it such as Envoy makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc

from xds_server.ext_proc.server import CompanionOptions, serve_companion

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEADERS = ProcessingRequest(request_headers=HttpHeaders())
HEADERS_ONLY = ProcessingRequest(request_headers=HttpHeaders(end_of_stream=True))


def whole_body(content: bytes) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=content, end_of_stream=True))


@dataclass(frozen=True, slots=True)
class Companion:
    """A running companion: a channel to it, its address, and the event that stops it."""

    channel: grpc.aio.Channel
    address: str
    stop: asyncio.Event

    def call(self) -> grpc.aio.StreamStreamCall:
        """Open the call of one HTTP request."""
        return self.channel.stream_stream(
            PROCESS,
            request_serializer=ProcessingRequest.SerializeToString,
            response_deserializer=ProcessingResponse.FromString,
        )()

    async def after_headers(self) -> grpc.aio.StreamStreamCall:
        """Return the call of a request whose headers were let pass and whose body is to come."""
        call = self.call()
        await call.write(HEADERS)
        answer = await call.read()
        assert answer.WhichOneof("response") == "request_headers", answer
        return call

    async def answer_to(self, content: bytes) -> ProcessingResponse:
        """Return the answer to a request with the body *content*; the call must end well."""
        call = await self.after_headers()
        await call.write(whole_body(content))
        answer = await call.read()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        return answer

    async def name_in(self, content: bytes) -> str:
        """Return the model header that *content* gives."""
        answer = await self.answer_to(content)
        [option] = answer.request_body.response.header_mutation.set_headers
        assert option.header.key == "x-gateway-model-name"
        return option.header.raw_value.decode()

    async def refusal_of(self, content: bytes) -> tuple[int, str]:
        """Return the status and the code with which *content* is refused."""
        refusal = (await self.answer_to(content)).immediate_response
        return refusal.status.code, json.loads(refusal.body)["error"]["code"]

    async def told_to_leave(self) -> None:
        """Wait until the companion has told our connection to open no more calls."""
        ready = grpc.ChannelConnectivity.READY
        while self.channel.get_state() is ready:
            await self.channel.wait_for_state_change(ready)

    def health(self) -> health_pb2_grpc.HealthStub:
        return health_pb2_grpc.HealthStub(self.channel)

    async def health_of(self, service: str) -> str:
        answer = await self.health().Check(health_pb2.HealthCheckRequest(service=service))
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def client_of(address: str) -> Companion:
    """Return a client, to be closed by its channel, with a connection that no other one uses."""
    alone = [("grpc.use_local_subchannel_pool", 1)]
    return Companion(grpc.aio.insecure_channel(address, options=alone), address, asyncio.Event())


@asynccontextmanager
async def companion(address: str = "127.0.0.1:0", **options: object) -> AsyncIterator[Companion]:
    """Run a companion on *address* during the block, and stop it in order afterwards."""
    ready = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        options_ = CompanionOptions(**options)
        tasks.create_task(serve_companion(address, ready.set_result, stop, options_))
        bound = await ready
        async with grpc.aio.insecure_channel(bound) as channel:
            yield Companion(channel, bound, stop)
        stop.set()
