"""What to answer to each message about one HTTP request; no I/O, no clock.

Implements the server's side of Envoy's External Processing protocol for request headers SEND and
request body BUFFERED ("External Processing" under HTTP filters in Envoy's docs, read at 1.40).
The body arrives whole in one message and is never changed; only a header is set. The headers say
how it is to be read. Envoy decompresses gzip before the companion sees a request, and then takes
the content-encoding off; any other compression is refused.
"""

from __future__ import annotations

from functools import lru_cache

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    HttpHeaders,
    ImmediateResponse,
    ProcessingRequest,
    ProcessingResponse,
)
from envoy.type.v3.http_status_pb2 import HttpStatus

from snapshots.ir.names import MODEL_HEADER, PREFIX_HEADER
from snapshots.ir.refusals import REFUSALS
from xds_server.ext_proc.errors import ModelNameError, error_body, shortened
from xds_server.ext_proc.model_name import model_name
from xds_server.ext_proc.multipart import shortest
from xds_server.ext_proc.orders import NO_ORDERS, Orders
from xds_server.ext_proc.prompt_prefix import prompt_prefix

CONTINUE = ProcessingResponse(request_headers=HeadersResponse(response=CommonResponse()))
"""Lets the headers pass unchanged and asks for the body; shared, never to be modified."""


_CONTENT_TYPE = "content-type"
_CONTENT_ENCODING = "content-encoding"
_LONG_TYPE_BYTES = 256
"""A longer one is not kept as it is until the body comes: clients would decide what calls hold."""


class UnexpectedMessageError(Exception):
    """Envoy's filter is set up in a way in which a model name could not be trusted."""


class Session:
    """One HTTP request: its headers, then its body.

    `answered` turns true with the last message that Envoy needs; `refused` then tells why the
    request was not let pass, and `body_bytes` how long its body was (None if it had none).
    """

    __slots__ = ("_content_type", "_headers_seen", "_orders", "answered", "body_bytes", "refused")

    def __init__(self, orders: Orders = NO_ORDERS) -> None:
        self._orders = orders
        self.answered = False
        self.refused: ModelNameError | None = None
        self.body_bytes: int | None = None
        self._headers_seen = False
        self._content_type = b""

    def handle(self, request: ProcessingRequest) -> ProcessingResponse | None:
        """Return the answer to *request*, or None if the HTTP request was answered before.

        Raises UnexpectedMessageError for a message that the modes above do not lead to.
        """
        if self.answered:
            return None
        kind = request.WhichOneof("request")
        if kind == "request_headers" and not self._headers_seen:
            return self._on_headers(request)
        if kind == "request_body" and self._headers_seen:
            return self._on_body(request.request_body.body)
        raise UnexpectedMessageError(
            f"unexpected {kind}: set request_header_mode SEND, request_body_mode BUFFERED"
            " and skip everything else"
        )

    def _on_headers(self, request: ProcessingRequest) -> ProcessingResponse:
        _check_protocol(request)
        self._headers_seen = True
        content_type, encoding = _media(request.request_headers)
        if len(content_type) > _LONG_TYPE_BYTES:
            content_type = shortest(content_type)
        self._content_type = content_type
        # First: where there is no body, Envoy leaves the encoding that it would take off.
        if request.request_headers.end_of_stream:
            return self._refuse(ModelNameError("missing_model", "it has no body"))
        if encoding.strip().lower() not in {b"", b"identity"}:
            told = shortened(encoding.decode("utf-8", "backslashreplace"))
            return self._refuse(ModelNameError("unsupported_content_encoding", told))
        return CONTINUE

    def _on_body(self, body: bytes) -> ProcessingResponse:
        # The body is whole although end_of_stream may be false: trailers may follow it.
        self.body_bytes = len(body)
        try:
            name = model_name(body, self._content_type, self._orders.default_model)
        except ModelNameError as error:
            return self._refuse(error)
        self.answered = True
        if size := self._orders.prefix_bytes:
            return _routed_by_prefix(name, prompt_prefix(body, self._content_type, size))
        return routed(name)

    def _refuse(self, error: ModelNameError) -> ProcessingResponse:
        self.answered = True
        self.refused = error
        return refusal(error)


@lru_cache(maxsize=1024)
def routed(name: str) -> ProcessingResponse:
    """Return the answer that sets the model header to *name* and has the route chosen anew.

    Shared, as building one takes as long as reading a body; never to be modified.
    """
    common = CommonResponse(
        header_mutation=HeaderMutation(set_headers=[_header(MODEL_HEADER, name)]),
        clear_route_cache=True,
    )
    return ProcessingResponse(request_body=BodyResponse(response=common))


def _routed_by_prefix(name: str, prefix: str) -> ProcessingResponse:
    """Return what `routed` does, with a header of its own that says how the prompt begins."""
    if not prefix:
        return routed(name)
    response = ProcessingResponse()
    response.CopyFrom(routed(name))
    mutation = response.request_body.response.header_mutation
    mutation.set_headers.append(_header(PREFIX_HEADER, prefix))
    return response


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, raw_value=value.encode()),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def refusal(error: ModelNameError) -> ProcessingResponse:
    """Return the answer with which Envoy itself replies to the client; the code is its detail."""
    content_type = HeaderValueOption(
        header=HeaderValue(key="content-type", raw_value=b"application/json"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return ProcessingResponse(
        immediate_response=ImmediateResponse(
            status=HttpStatus(code=REFUSALS[error.code].status),
            headers=HeaderMutation(set_headers=[content_type]),
            body=error_body(error),
            details=error.code,
        )
    )


def _media(headers: HttpHeaders) -> tuple[bytes, bytes]:
    """Return content-type and content-encoding, empty if absent; repeated ones joined by commas."""
    found: dict[str, bytes] = {}
    for header in headers.headers.headers:
        name = header.key
        if name in {_CONTENT_TYPE, _CONTENT_ENCODING}:
            # Envoy fills only one of the two: the bytes, unless it is told to send text.
            value = header.raw_value or header.value.encode()
            found[name] = found[name] + b"," + value if name in found else value
    return found.get(_CONTENT_TYPE, b""), found.get(_CONTENT_ENCODING, b"")


def _check_protocol(request: ProcessingRequest) -> None:
    """Refuse a body mode that would bring part of a body, or none; old Envoys do not tell it."""
    if not request.HasField("protocol_config"):
        return
    mode = request.protocol_config.request_body_mode
    if mode != ProcessingMode.BUFFERED:
        name = ProcessingMode.BodySendMode.Name(mode)
        raise UnexpectedMessageError(f"request_body_mode is {name}: set it to BUFFERED")
