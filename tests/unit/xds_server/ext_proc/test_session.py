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


def headers(
    *pairs: tuple[str, bytes], end_of_stream=False, body_mode=None, as_text=False
) -> ProcessingRequest:
    """Return the message about the headers *pairs*; *as_text*: in the field that is not bytes."""
    request = ProcessingRequest(request_headers=HttpHeaders(end_of_stream=end_of_stream))
    for name, value in pairs:
        header = request.request_headers.headers.headers.add(key=name)
        if as_text:
            header.value = value.decode()
        else:
            header.raw_value = value
    if body_mode is not None:
        request.protocol_config.CopyFrom(ProtocolConfiguration(request_body_mode=body_mode))
    return request


def body(content: bytes, *, end_of_stream=True) -> ProcessingRequest:
    return ProcessingRequest(request_body=HttpBody(body=content, end_of_stream=end_of_stream))


def after_headers(*pairs: tuple[str, bytes], as_text=False) -> Session:
    session = Session()
    session.handle(headers((":method", b"POST"), *pairs, as_text=as_text))
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
        (b"", 400, "missing_model"),
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


FORM = b"""--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nllama\r\n--b--"""


@pytest.mark.parametrize("as_text", [False, True])
def test_the_content_type_tells_that_the_body_is_a_form(as_text):
    session = after_headers(("content-type", b"multipart/form-data; boundary=b"), as_text=as_text)

    response = session.handle(body(FORM))

    [option] = response.request_body.response.header_mutation.set_headers
    assert option.header.raw_value == b"llama"


def test_a_content_type_may_be_long():
    kind = b"multipart/form-data; a=" + b"x" * 5000 + b"; boundary=b"
    session = after_headers(("content-type", kind))

    response = session.handle(body(FORM))

    [option] = response.request_body.response.header_mutation.set_headers
    assert option.header.raw_value == b"llama"


def test_a_form_without_its_content_type_is_read_as_json():
    session = after_headers(("content-type", b"text/plain"))

    session.handle(body(FORM))

    assert session.refused.code == "invalid_json"


def test_two_content_types_are_not_chosen_from():
    form = ("content-type", b"multipart/form-data; boundary=b")
    session = after_headers(form, form)

    session.handle(body(FORM))

    assert session.refused.code == "invalid_multipart"


@pytest.mark.parametrize("encoding", [b"identity", b"Identity", b""])
def test_a_body_that_is_not_encoded_is_awaited(encoding):
    assert not after_headers(("content-encoding", encoding)).answered


@pytest.mark.parametrize("encoding", [b"br", b"gzip", b"gzip, identity", b"identity, br", b"\xff"])
def test_an_encoding_that_is_left_is_refused_before_the_body(encoding):
    session = Session()

    response = session.handle(headers(("content-encoding", encoding)))

    assert response.immediate_response.status.code == 415
    assert response.immediate_response.details == "unsupported_content_encoding"
    assert session.refused.code == "unsupported_content_encoding"
    assert session.body_bytes is None


def test_no_body_is_no_body_in_gzip_too():
    """Envoy takes the encoding off a body, and there is none."""
    session = Session()

    response = session.handle(headers(("content-encoding", b"gzip"), end_of_stream=True))

    assert response.immediate_response.details == "missing_model"


def test_two_encodings_are_refused_although_the_last_is_none():
    session = after_headers(("content-encoding", b"br"), ("content-encoding", b"identity"))

    assert session.refused.detail == "br,identity"


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
