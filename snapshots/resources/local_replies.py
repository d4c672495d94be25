"""Envoy's own answers, in the shape of OpenAI's errors.

A mapper must match nothing that the routes or the companion answer themselves, as those bodies are
final; hence response flags and statuses that only Envoy gives, and no rule for "any error".

Source: "Local reply modification" and "Access log formatter: response flags" of Envoy's docs.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from snapshots.ir import names
from snapshots.resources.encode import struct
from snapshots.resources.parts import set_header

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
RETRY_AFTER_S = 5
MALFORMED_REQUEST = (
    "The request is not HTTP as this gateway takes it: well-formed, of version 1.1 or 2, and with "
    "no `_` in names of headers."
)
TOO_LARGE_HEADERS = "The request has too many headers, or its headers or its URL are too long."
SHORT_OF_MEMORY = "The gateway is short of memory. Try again later."
EXTRACTION_UNAVAILABLE = "The gateway cannot read the model name at the moment. Try again later."


@dataclass(frozen=True, slots=True)
class LocalReply:
    """One of Envoy's own answers: when it is given, and how it reads."""

    status: int
    code: str
    message: str
    kind: str
    flags: tuple[str, ...] = ()
    """Response flags of which one must be set; none: any."""
    original_status: int = 0
    """The status that Envoy would give; 0: any."""
    without_model: bool = False
    """Whether only requests count whose model was never found."""
    unread: bool = False
    """Whether only errors count of requests that were refused before anything was made of them."""
    upgrading: bool = False
    """Whether only requests count that ask for another protocol, or for a tunnel."""
    priority: str = ""
    """Only requests of models of this priority count; empty: all."""
    param: str | None = None
    retry_after: bool = False


LOCAL_REPLIES = (
    LocalReply(  # first: a stream that idles has the flag of a server that does
        status=408,
        code="request_timeout",
        message="The request took too long to arrive.",
        kind=INVALID_REQUEST,
        original_status=408,
    ),
    LocalReply(
        status=431,
        code="headers_too_large",
        message=TOO_LARGE_HEADERS,
        kind=INVALID_REQUEST,
        original_status=431,
    ),
    LocalReply(
        status=503,
        code="gateway_overloaded",
        message=SHORT_OF_MEMORY,
        kind=SERVER_ERROR,
        original_status=503,
        unread=True,
        retry_after=True,
    ),
    LocalReply(  # given for an upload that went on in spite of that
        status=503,
        code="gateway_overloaded",
        message=SHORT_OF_MEMORY,
        kind=SERVER_ERROR,
        original_status=500,
        without_model=True,
        retry_after=True,
    ),
    LocalReply(
        status=400,
        code="malformed_request",
        message=MALFORMED_REQUEST,
        kind=INVALID_REQUEST,
        unread=True,
    ),
    LocalReply(
        status=403,
        code="upgrade_not_supported",
        message="This gateway passes neither WebSockets nor tunnels.",
        kind=INVALID_REQUEST,
        original_status=403,
        upgrading=True,
    ),
    LocalReply(  # the cluster without servers: no extraction has said anything
        status=503,
        code="extraction_unavailable",
        message=EXTRACTION_UNAVAILABLE,
        kind=SERVER_ERROR,
        flags=("UH",),
        without_model=True,
        retry_after=True,
    ),
    LocalReply(
        status=404,
        code="model_not_found",
        message=f"The model `%REQ({names.MODEL_HEADER})%` does not exist.",
        kind=INVALID_REQUEST,
        param="model",
        flags=("NR",),
    ),
    LocalReply(
        status=503,
        code="no_healthy_upstream",
        message="No server of the pool can be reached. Try again later.",
        kind=SERVER_ERROR,
        flags=("UH", "UF", "NC"),
        retry_after=True,
    ),
    LocalReply(
        status=504,
        code="upstream_timeout",
        message="The server did not answer in time.",
        kind=SERVER_ERROR,
        flags=("UT", "SI"),
    ),
    LocalReply(
        status=503,
        code="pool_overloaded",
        message="The pool has as many requests as it may have. Try again later.",
        kind=SERVER_ERROR,
        flags=("UO",),
        retry_after=True,
    ),
    LocalReply(
        status=502,
        code="upstream_disconnected",
        message="The server ended the connection before it had answered.",
        kind=SERVER_ERROR,
        flags=("UC", "UR", "LR", "UPE"),
    ),
    LocalReply(
        status=413,
        code="request_too_large",
        message="The request body is larger than this gateway accepts.",
        kind=INVALID_REQUEST,
        original_status=413,
    ),
    *(  # the companion is gone, or did not answer in time
        LocalReply(
            status=503,
            code="extraction_unavailable",
            message=EXTRACTION_UNAVAILABLE,
            kind=SERVER_ERROR,
            original_status=original_status,
            without_model=True,
            retry_after=True,
        )
        for original_status in (503, 504)
    ),
    LocalReply(  # what is left of 503: our own headers do not fit in, next to the client's
        status=431,
        code="headers_too_large",
        message=TOO_LARGE_HEADERS,
        kind=INVALID_REQUEST,
        original_status=503,
    ),
)
"""The first that matches is given."""


def build_local_replies(more: tuple[LocalReply, ...] = ()) -> hcm_v3.LocalReplyConfig:
    """Return the mappers of *more* and, behind them, of `LOCAL_REPLIES`, in order."""
    replies = (*more, *LOCAL_REPLIES)
    return hcm_v3.LocalReplyConfig(mappers=[_mapper(reply) for reply in replies])


def _mapper(reply: LocalReply) -> hcm_v3.ResponseMapper:
    error = {
        "message": reply.message,
        "type": reply.kind,
        "param": reply.param,
        "code": reply.code,
    }
    return hcm_v3.ResponseMapper(
        filter=_condition(reply),
        status_code=reply.status,
        body_format_override=core_v3.SubstitutionFormatString(
            json_format=struct({"error": error}), content_type="application/json"
        ),
        headers_to_add=[set_header("retry-after", str(RETRY_AFTER_S))] if reply.retry_after else [],
    )


def _condition(reply: LocalReply) -> accesslog_v3.AccessLogFilter:
    conditions = []
    if reply.flags:
        flags = accesslog_v3.ResponseFlagFilter(flags=list(reply.flags))
        conditions.append(accesslog_v3.AccessLogFilter(response_flag_filter=flags))
    if reply.original_status:
        conditions.append(_status_is(reply.original_status))
    if reply.without_model:
        conditions.append(_model_is_unknown())
    if reply.unread:
        conditions += [_is_unread(), _status_is(400, accesslog_v3.ComparisonFilterOp.GE)]
    if reply.upgrading:
        conditions.append(_asks_for_more())
    if reply.priority:
        conditions.append(_header_is(names.PRIORITY_HEADER, reply.priority))
    if len(conditions) == 1:
        return conditions[0]
    return accesslog_v3.AccessLogFilter(and_filter=accesslog_v3.AndFilter(filters=conditions))


def _status_is(
    status: int, op: accesslog_v3.ComparisonFilterOp = accesslog_v3.ComparisonFilterOp.EQ
) -> accesslog_v3.AccessLogFilter:
    # The runtime key is required; nothing sets it.
    value = core_v3.RuntimeUInt32(default_value=status, runtime_key=f"modelyard.status_{status}")
    comparison = accesslog_v3.ComparisonFilter(op=op, value=value)
    return accesslog_v3.AccessLogFilter(
        status_code_filter=accesslog_v3.StatusCodeFilter(comparison=comparison)
    )


def _model_is_unknown() -> accesslog_v3.AccessLogFilter:
    return _header_is(names.MODEL_HEADER, names.NO_MODEL)


def _is_unread() -> accesslog_v3.AccessLogFilter:
    return _header_is_there(names.MODEL_HEADER, unless=True)


def _asks_for_more() -> accesslog_v3.AccessLogFilter:
    either = [_header_is_there("upgrade"), _header_is(":method", "CONNECT")]
    return accesslog_v3.AccessLogFilter(or_filter=accesslog_v3.OrFilter(filters=either))


def _header_is(name: str, value: str) -> accesslog_v3.AccessLogFilter:
    exactly = matcher_v3.StringMatcher(exact=value)
    header = route_v3.HeaderMatcher(name=name, string_match=exactly)
    return accesslog_v3.AccessLogFilter(header_filter=accesslog_v3.HeaderFilter(header=header))


def _header_is_there(name: str, *, unless: bool = False) -> accesslog_v3.AccessLogFilter:
    header = route_v3.HeaderMatcher(name=name, present_match=True, invert_match=unless)
    return accesslog_v3.AccessLogFilter(header_filter=accesslog_v3.HeaderFilter(header=header))
