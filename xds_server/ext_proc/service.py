"""The gRPC method behind which a Session answers: `ExternalProcessor/Process` on grpc.aio.

Each call ends as soon as the model is known, rather than when Envoy has got its response: a
stream of tokens may last minutes, and a companion that stops need not wait for it.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import grpc
import structlog
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.session import Session, UnexpectedMessageError

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

log = structlog.get_logger()

Context = grpc.aio.ServicerContext[ProcessingRequest, ProcessingResponse]


class ExternalProcessor:
    """Answer Envoy's calls, one call per HTTP request; calls share nothing but the counters."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return what to register with a grpc.aio server."""
        process = grpc.stream_stream_rpc_method_handler(
            self._process,
            request_deserializer=ProcessingRequest.FromString,
            response_serializer=ProcessingResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(EXT_PROC_SERVICE, {"Process": process})

    async def _process(self, _requests: object, context: Context) -> None:
        session = Session()
        while not session.answered:
            request = await context.read()
            if request is grpc.aio.EOF:  # type: ignore[attr-defined]  # missing in grpc-stubs
                return
            try:
                response = self._handle(session, request)
            except UnexpectedMessageError as error:
                log.warning("ext_proc.filter.misconfigured", error_message=str(error))
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            await context.write(response)

    def _handle(self, session: Session, request: ProcessingRequest) -> ProcessingResponse | None:
        started = perf_counter()
        response = session.handle(request)
        if session.answered:
            if session.body_bytes is not None:
                self._metrics.extracted(session.body_bytes, perf_counter() - started)
            self._answered(session)
        return response

    def _answered(self, session: Session) -> None:
        refused = session.refused
        self._metrics.answered(refused.code if refused else None)
        if refused:
            # Neither the name nor the body: both are what the client chose to send.
            log.info("ext_proc.request.refused", code=refused.code, body_bytes=session.body_bytes)
