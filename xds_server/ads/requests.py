"""Requests as they come, from bytes to the dataclasses of the protocol, within limits.

What costs much to read is measured before it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from xds_server.ads.messages import read_node
from xds_server.fleet import Node
from xds_server.guard.limits import Limit, LimitError, Limits
from xds_server.protocol.events import DeltaRequest, SotwRequest

MessageT = TypeVar("MessageT", bound=Message)
_NOBODY = "the first request of a stream must tell its node, with an id"


class RequestReader(Generic[MessageT]):
    """Reads the requests of streams, as *kind*."""

    def __init__(self, kind: type[MessageT], limits: Limits) -> None:
        self._kind = kind
        self._limits = limits

    def parse(self, data: bytes) -> MessageT:
        """Return the message in *data*. Raises LimitError if it is none, or too large."""
        if len(data) > self._limits.request_bytes:
            raise LimitError(
                Limit.REQUEST_BYTES,
                f"a request can have {self._limits.request_bytes} bytes, this one has {len(data)}",
            )
        try:
            return self._kind.FromString(data)
        except DecodeError as error:
            # The reason names our classes; that a text is no UTF-8 is all that may be of use.
            what = "has a text that is not UTF-8" if "UTF-8" in str(error) else "cannot be read"
            raise LimitError.malformed(f"a {self._kind.DESCRIPTOR.name} {what}") from None

    def read_first(self, message: Any) -> Node:  # noqa: ANN401 - a request of either variant
        """Return whose request it is. Raises LimitError unless that may be kept in memory."""
        node = message.node
        if not node.id:
            raise LimitError.malformed(_NOBODY)
        self._check_texts("the node's id, or its cluster,", (node.id, node.cluster))
        size = node.metadata.ByteSize()
        if size > self._limits.metadata_bytes:
            raise LimitError(
                Limit.NODE,
                f"node.metadata can have {self._limits.metadata_bytes} bytes, this one has {size}",
            )
        return read_node(node)

    def check(self, request: SotwRequest | DeltaRequest, data_bytes: int) -> None:
        """Raise LimitError if *request*, which had so many bytes, tells no type or long texts."""
        if not request.type_url:
            raise LimitError.malformed("a request on an aggregated stream must tell its type_url")
        if data_bytes <= self._limits.characters:
            return
        self._check_texts("a type_url", (request.type_url,))
        self._check_texts("a nonce", (request.response_nonce,))
        if isinstance(request, SotwRequest):
            self._check_texts("a version", (request.version_info,))
            self._check_texts("a name", request.resource_names)
            return
        self._check_texts("a name", request.resource_names_subscribe)
        self._check_texts("a name", request.initial_resource_versions)
        self._check_texts("a version", request.initial_resource_versions.values())

    def _check_texts(self, what: str, texts: Iterable[str]) -> None:
        longest = max(map(len, texts), default=0)
        if longest > self._limits.characters:
            raise LimitError(
                Limit.NAMES,
                f"{what} can have {self._limits.characters} characters, this has {longest}",
            )


def count_names(message: Any) -> int:  # noqa: ANN401 - a request of either variant
    """Return how many names *message* gives, without reading one."""
    if message.DESCRIPTOR.name == "DiscoveryRequest":
        return len(message.resource_names)
    lists = (message.resource_names_subscribe, message.resource_names_unsubscribe)
    return max(*map(len, lists), len(message.initial_resource_versions))
