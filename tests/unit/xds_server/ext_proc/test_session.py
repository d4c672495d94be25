"""One HTTP request as a conversation with Envoy's ext_proc filter, without any network."""

from __future__ import annotations

import json

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingRequest,
    ProcessingResponse,
    ProtocolConfiguration,
)

from xds_server.ext_proc.session import Session, UnexpectedMessageError


def headers(*, end_of_stream=False, body_mode=None) -> ProcessingRequest:
    request = ProcessingRequest(request_headers=HttpHeaders(end_of_stream=end_of_stream))
    if body_mode is not None:
        request.protocol_config.CopyFrom(ProtocolConfiguration(request_body_mode=body_mode))
    return request


def body(content: bytes, *, end_of_stream=True) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=content, end_of_stream=end_of_stream))


def after_headers() -> Session:
    session = Session()
    session.handle(headers())
    return session


def test_headers_pass_unchanged_and_the_body_is_awaited():
    session = Session()

    response = session.handle(headers())

    assert response.WhichOneof("response") == "request_headers"
    assert response.request_headers.response.header_mutation.ByteSize() == 0
    assert not response.request_headers.response.clear_route_cache
    assert not session.answered


@pytest.mark.parametrize("name", ["llama", "модель/ü"])
def test_the_body_sets_the_model_header_and_clears_the_route_cache(name):
    session = after_headers()
    content = json.dumps({"model": name}).encode()

    response = session.handle(body(content))

    common = response.request_body.response
    [option] = common.header_mutation.set_headers
    assert (option.header.key, option.header.raw_value) == ("x-gateway-model-name", name.encode())
    assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert common.clear_route_cache
    assert not common.HasField("body_mutation")
    assert session.answered
    assert session.refused is None
    assert session.body_bytes == len(content)


def test_a_body_before_trailers_is_whole_although_the_stream_goes_on():
    response = after_headers().handle(body(b'{"model": "llama"}', end_of_stream=False))

    assert response.WhichOneof("response") == "request_body"


def test_a_request_without_a_body_is_refused_at_its_headers():
    session = Session()

    response = session.handle(headers(end_of_stream=True))

    refusal = response.immediate_response
    assert refusal.status.code == 400
    assert json.loads(refusal.body)["error"]["code"] == "missing_model"
    assert "it has no body" in json.loads(refusal.body)["error"]["message"]
    assert session.answered
    assert session.body_bytes is None


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"{}", 400, "missing_model"),
        (b'{"model": "a", "model": "b"}', 400, "ambiguous_model"),
        (b'{"model": "-"}', 404, "model_not_found"),
    ],
)
def test_a_refusal_is_a_whole_response_with_the_code_as_detail(content, status, code):
    session = after_headers()

    response = session.handle(body(content))

    refusal = response.immediate_response
    [option] = refusal.headers.set_headers
    assert refusal.status.code == status
    assert refusal.details == code
    assert json.loads(refusal.body)["error"]["code"] == code
    assert (option.header.key, option.header.raw_value) == ("content-type", b"application/json")
    assert session.refused.code == code


def test_an_end_that_is_delivered_twice_is_answered_once():
    session = after_headers()
    session.handle(body(b'{"model": "llama"}'))

    assert session.handle(body(b"")) is None
    assert session.refused is None


def test_the_shared_continue_answer_stays_as_it_is():
    first = Session().handle(headers()).SerializeToString()
    after_headers().handle(body(b'{"model": "llama"}'))

    assert Session().handle(headers()).SerializeToString() == first
    assert ProcessingResponse.FromString(first).WhichOneof("response") == "request_headers"


def test_a_filter_that_buffers_is_served():
    assert Session().handle(headers(body_mode=ProcessingMode.BUFFERED))


@pytest.mark.parametrize("mode", ["NONE", "STREAMED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"])
def test_a_filter_that_would_bring_another_part_of_the_body_is_refused(mode):
    with pytest.raises(UnexpectedMessageError, match=f"request_body_mode is {mode}"):
        Session().handle(headers(body_mode=ProcessingMode.BodySendMode.Value(mode)))


@pytest.mark.parametrize(
    "request_",
    [
        body(b'{"model": "llama"}'),
        ProcessingRequest(response_headers=HttpHeaders()),
        ProcessingRequest(request_trailers=HttpTrailers()),
        ProcessingRequest(),
    ],
    ids=["body without headers", "response", "trailers", "nothing"],
)
def test_a_message_out_of_turn_is_refused_rather_than_guessed(request_):
    """Without the headers first, Envoy would obey a model header that the client sent."""
    with pytest.raises(UnexpectedMessageError, match="set request_header_mode SEND"):
        Session().handle(request_)


def test_headers_twice_are_refused():
    with pytest.raises(UnexpectedMessageError):
        after_headers().handle(headers())
