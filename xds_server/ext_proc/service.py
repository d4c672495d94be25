"""The methods of gRPC that the companion has: `ExternalProcessor/Process` and `Health/Check`.

A call to Process ends as soon as the model is known, rather than when Envoy has got its response: a
stream of tokens may last minutes, and a companion that stops need not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

import structlog
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.orders import Orders, read_orders
from xds_server.ext_proc.session import CONTINUE, Session, UnexpectedMessageError
from xds_server.ext_proc.wire.grpc import (
    OK,
    Method,
    Reply,
    Status,
    ended,
    framed,
    refusal,
)
from xds_server.line_budget import LineBudget

EXT_PROC_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"
PROCESS = f"/{EXT_PROC_SERVICE}/Process"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

_PROCESS_PATH, _HEALTH_PATH = PROCESS.encode(), HEALTH_CHECK.encode()
_SERVING, _NOT_SERVING = 1, 2
_CONTINUE = Reply(framed(CONTINUE.SerializeToString()), None)
_NO_MESSAGE = refusal(Status.INTERNAL, "the call has no message")
_OVER = Reply(b"", OK)
_serialize = ProcessingResponse.SerializeToString
_parse = ProcessingRequest.FromString

log = structlog.get_logger()


class CompanionService:
    """Opens calls; they share nothing but *metrics* and *lines*, which are the process's."""

    def __init__(self, metrics: Metrics, lines: LineBudget, is_serving: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._lines = lines
        self._is_serving = is_serving

    def method(self, path: bytes, metadata: Mapping[bytes, bytes]) -> Method | None:
        """Return the method called *path*, if there is one, bound to what *metadata* order."""
        if path == _PROCESS_PATH:
            return partial(_ProcessCall, self._metrics, self._lines, read_orders(metadata))
        return partial(_HealthCheck, self._is_serving) if path == _HEALTH_PATH else None


class _ProcessCall:
    """What Envoy asks about one HTTP request."""

    __slots__ = ("_lines", "_metrics", "_session")

    def __init__(self, metrics: Metrics, lines: LineBudget, orders: Orders) -> None:
        self._metrics = metrics
        self._lines = lines
        self._session = Session(orders)

    def message(self, content: bytes | memoryview) -> Reply:
        session = self._session
        started = perf_counter()
        try:
            response = session.handle(_parse(content))
        except DecodeError:
            return refusal(Status.INVALID_ARGUMENT, "the message is not a ProcessingRequest")
        except UnexpectedMessageError as error:
            self._misconfigured(str(error))
            return refusal(Status.FAILED_PRECONDITION, str(error))
        if response is CONTINUE:
            return _CONTINUE
        message = framed(_serialize(response)) if response is not None else b""
        if not session.answered:
            return Reply(message, None)
        if session.body_bytes is not None:
            self._metrics.extracted(session.body_bytes, perf_counter() - started)
        self._answered(session)
        return Reply(message, OK)

    def half_closed(self) -> Reply:
        return _OVER

    def _answered(self, session: Session) -> None:
        refused = session.refused
        self._metrics.answered(refused.code if refused else None)
        if refused and (left_out := self._lines.take(refused.code)) is not None:
            # Neither the name nor the body: both are what the client chose to send.
            log.info(
                "ext_proc.request.refused",
                code=refused.code,
                body_bytes=session.body_bytes,
                left_out=left_out,
            )

    def _misconfigured(self, message: str) -> None:
        if (left_out := self._lines.take("misconfigured")) is not None:
            log.warning("ext_proc.filter.misconfigured", error_message=message, left_out=left_out)


class _HealthCheck:
    """The standard health service (grpc.health.v1), for this process and for the one service.

    Its two messages have one field each, number 1: on the wire they are these wrappers.
    """

    __slots__ = ("_is_serving",)

    def __init__(self, is_serving: Callable[[], bool]) -> None:
        self._is_serving = is_serving

    def message(self, content: bytes | memoryview) -> Reply:
        try:
            service = StringValue.FromString(bytes(content)).value
        except DecodeError:
            return refusal(Status.INVALID_ARGUMENT, "the message is not a HealthCheckRequest")
        if service not in {"", EXT_PROC_SERVICE}:
            return refusal(Status.NOT_FOUND, "there is no such service")
        status = _SERVING if self._is_serving() else _NOT_SERVING
        return ended(Int32Value(value=status).SerializeToString())

    def half_closed(self) -> Reply:
        return _NO_MESSAGE
