"""Protobuf messages of the discovery service, to and from the dataclasses of the protocol."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.struct_pb2 import Struct

from snapshots.type_urls import TypeUrl
from xds_server.fleet import Node
from xds_server.guard.limits import KEPT_VERSION_CHARACTERS, READ_ERROR_CHARACTERS
from xds_server.protocol.events import DeltaRequest, DeltaResponse, SotwRequest, SotwResponse


def read_node(node: base_pb2.Node) -> Node:
    """Return who *node* says it is."""
    version = node.user_agent_build_version.version
    if node.user_agent_build_version.HasField("version"):
        text = f"{version.major_number}.{version.minor_number}.{version.patch}"
    else:
        text = node.user_agent_version
    return Node(
        id=node.id,
        cluster=node.cluster,
        metadata=_texts_of(node.metadata),
        envoy_version=text[:KEPT_VERSION_CHARACTERS],
        is_envoy=node.user_agent_name == "envoy",
    )


def _texts_of(metadata: Struct) -> Mapping[str, str]:
    """Return the texts on the first level of *metadata*."""
    fields = metadata.fields.items()
    return {name: value.string_value for name, value in fields if value.HasField("string_value")}


def _shared(names: Iterable[str]) -> tuple[str, ...]:
    """Return *names*, each as the one text that all streams share: a fleet asks for the same."""
    return tuple(map(sys.intern, names))


def _error_detail(
    message: discovery_pb2.DiscoveryRequest | discovery_pb2.DeltaDiscoveryRequest,
) -> str | None:
    if not message.HasField("error_detail"):
        return None
    words: str = message.error_detail.message
    if len(words) <= READ_ERROR_CHARACTERS:
        return words
    # Between two words: half of a name may be the name of another resource.
    return words[:READ_ERROR_CHARACTERS].rpartition(" ")[0]


def read_sotw(message: discovery_pb2.DiscoveryRequest) -> SotwRequest:
    """Return the facts of *message*."""
    return SotwRequest(
        type_url=TypeUrl(message.type_url),
        resource_names=_shared(message.resource_names),
        version_info=message.version_info,
        response_nonce=message.response_nonce,
        error_detail=_error_detail(message),
    )


def read_delta(message: discovery_pb2.DeltaDiscoveryRequest) -> DeltaRequest:
    """Return the facts of *message*."""
    return DeltaRequest(
        type_url=TypeUrl(message.type_url),
        resource_names_subscribe=_shared(message.resource_names_subscribe),
        resource_names_unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_resource_versions=MappingProxyType(dict(message.initial_resource_versions)),
        response_nonce=message.response_nonce,
        error_detail=_error_detail(message),
    )


def write_sotw(response: SotwResponse) -> discovery_pb2.DiscoveryResponse:
    """Return *response* as a message; the bodies of resources are used as they are."""
    message = discovery_pb2.DiscoveryResponse(
        type_url=response.type_url, version_info=response.version_info, nonce=response.nonce
    )
    for resource in response.resources:
        message.resources.add(type_url=resource.type_url, value=resource.body)
    return message


def write_delta(response: DeltaResponse) -> discovery_pb2.DeltaDiscoveryResponse:
    """Return *response* as a message; the bodies of resources are used as they are."""
    message = discovery_pb2.DeltaDiscoveryResponse(
        type_url=response.type_url,
        system_version_info=response.system_version_info,
        nonce=response.nonce,
        removed_resources=response.removed_resources,
    )
    for resource in response.resources:
        part = message.resources.add(name=resource.name, version=resource.version)
        part.resource.type_url = resource.type_url
        part.resource.value = resource.body
    return message
