"""Requests of the discovery service, within limits. Does not convert them (`messages.py`)."""

from __future__ import annotations

from typing import Any

from xds_server.guard.limits import LimitError, Limits
from xds_server.protocol.events import DeltaRequest, SotwRequest


def check(request: SotwRequest | DeltaRequest, data_bytes: int, limits: Limits) -> None:
    """Raise LimitError if *request*, which had so many bytes, tells no type or long texts."""
    if not request.type_url:
        raise LimitError.malformed("a request on an aggregated stream must tell its type_url")
    if data_bytes <= limits.characters:
        return
    limits.check_texts("a type_url", (request.type_url,))
    limits.check_texts("a nonce", (request.response_nonce,))
    if isinstance(request, SotwRequest):
        limits.check_texts("a version", (request.version_info,))
        limits.check_texts("a name", request.resource_names)
        return
    limits.check_texts("a name", request.resource_names_subscribe)
    limits.check_texts("a name", request.initial_resource_versions)
    limits.check_texts("a version", request.initial_resource_versions.values())


def count_names(message: Any) -> int:  # noqa: ANN401 - a request of either variant
    """Return how many names *message* gives, without reading one."""
    if message.DESCRIPTOR.name == "DiscoveryRequest":
        return len(message.resource_names)
    lists = (message.resource_names_subscribe, message.resource_names_unsubscribe)
    return max(*map(len, lists), len(message.initial_resource_versions))
