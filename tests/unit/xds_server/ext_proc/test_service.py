"""The methods of gRPC that the companion has, without a connection."""

from __future__ import annotations

import pytest
from envoy.service.ext_proc.v3.external_processor_pb2 import HttpHeaders, ProcessingRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from structlog.testing import capture_logs

from tests.support.ext_proc_client import HEADERS, HEADERS_ONLY, whole_body
from xds_server.ext_proc.metrics import Metrics
from xds_server.ext_proc.service import EXT_PROC_SERVICE, HEALTH_CHECK, PROCESS, CompanionService
from xds_server.ext_proc.session import routed
from xds_server.ext_proc.wire.grpc import OK, Call, Status, framed, trailers
from xds_server.line_budget import LineBudget

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


def call(path: str, *, serving: bool = True) -> Call:
    service = CompanionService(Metrics(), LineBudget(), lambda: serving)
    method = service.method(path.encode(), {})
    assert method is not None
    return method()


def status_of(block: bytes | None) -> Status | None:
    """Return the status in trailers, whatever their words."""
    return next((each for each in Status if (block or b"").startswith(trailers(each))), None)


def test_a_process_call_ends_with_the_answer_to_the_body():
    process = call(PROCESS)
    first = process.message(HEADERS.SerializeToString())
    last = process.message(memoryview(whole_body(b'{"model": "llama"}').SerializeToString()))

    assert first.trailers is None
    assert last == (framed(routed("llama").SerializeToString()), OK)


def test_a_process_call_ends_with_headers_that_are_all():
    assert call(PROCESS).message(HEADERS_ONLY.SerializeToString()).trailers == OK


def test_a_process_call_without_a_message_ends_well():
    assert call(PROCESS).half_closed() == (b"", OK)


def test_a_filter_that_is_set_up_wrongly_is_told_and_logged():
    with capture_logs() as logged:
        wrong = ProcessingRequest(response_headers=HttpHeaders())
        reply = call(PROCESS).message(wrong.SerializeToString())

    assert status_of(reply.trailers) is Status.FAILED_PRECONDITION
    assert [entry["event"] for entry in logged] == ["ext_proc.filter.misconfigured"]


@pytest.mark.parametrize("path", [PROCESS, HEALTH_CHECK])
def test_bytes_that_are_no_message_are_refused(path):
    assert status_of(call(path).message(b"\xff").trailers) is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("service", ["", EXT_PROC_SERVICE])
@pytest.mark.parametrize(("serving", "status"), [(True, SERVING), (False, NOT_SERVING)])
def test_health_is_that_of_the_process(service, serving, status):
    request = HealthCheckRequest(service=service).SerializeToString()

    reply = call(HEALTH_CHECK, serving=serving).message(request)

    assert reply == (framed(HealthCheckResponse(status=status).SerializeToString()), OK)


def test_health_of_another_service_is_not_found():
    reply = call(HEALTH_CHECK).message(HealthCheckRequest(service="other").SerializeToString())

    assert status_of(reply.trailers) is Status.NOT_FOUND


def test_health_without_a_question_is_an_error():
    assert status_of(call(HEALTH_CHECK).half_closed().trailers) is Status.INTERNAL
