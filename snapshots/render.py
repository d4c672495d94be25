"""The resources of a snapshot as plain data, read back from the bytes that Envoy is sent."""

from __future__ import annotations

import json
from typing import Any

# Each import also registers its messages, by which the contents of an `Any` are read.
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.access_loggers.file.v3 import file_pb2 as _file_log
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as _stream_log
from envoy.extensions.common.matching.v3 import extension_matcher_pb2 as _matching
from envoy.extensions.compression.gzip.decompressor.v3 import gzip_pb2 as _gzip
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2 as _skip
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2 as _buffer
from envoy.extensions.filters.http.credential_injector.v3 import (
    credential_injector_pb2 as _credential_injector,
)
from envoy.extensions.filters.http.decompressor.v3 import decompressor_pb2 as _decompressor
from envoy.extensions.filters.http.ext_proc.v3 import ext_proc_pb2 as _ext_proc
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as _mutation
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2 as _rate_limit
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as _lua
from envoy.extensions.filters.http.router.v3 import router_pb2 as _router
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2 as _codec
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as _hcm,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as _header_mutation,
)
from envoy.extensions.http.injected_credentials.generic.v3 import generic_pb2 as _generic
from envoy.extensions.load_balancing_policies.maglev.v3 import maglev_pb2 as _maglev
from envoy.extensions.load_balancing_policies.ring_hash.v3 import ring_hash_pb2 as _ring_hash
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2 as _previous_hosts
from envoy.extensions.router.cluster_specifiers.lua.v3 import lua_pb2 as _lua_specifier
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as _tls
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as _http_options
from envoy.type.matcher.v3 import http_inputs_pb2 as _inputs
from google.protobuf.json_format import MessageToJson
from google.protobuf.unknown_fields import UnknownFieldSet
from xds.type.v3 import typed_struct_pb2 as _typed_struct

from snapshots.snapshot import NodeSnapshot, Resource
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET

READ_IN_ANY = (
    _gzip, _buffer, _decompressor, _ext_proc, _lua, _router, _codec, _hcm, _header_mutation,
    _previous_hosts, _http_options, _typed_struct, _matching, _skip, _inputs,
    _maglev, _ring_hash, _rate_limit, _mutation, _lua_specifier,
    _file_log, _stream_log, _tls, _credential_injector, _generic,
)  # fmt: skip
"""The modules whose messages may stand in an `Any` of ours."""

REFRESH_CLUSTER_ON_RETRY = 14
"""The field of `RetryPolicy` that lets a retry choose another pool."""

REDACTED = "[redacted]"

SECTIONS = {
    "listeners": (LISTENER, Listener),
    "scoped_routes": (SCOPED_ROUTE, ScopedRouteConfiguration),
    "routes": (ROUTE, RouteConfiguration),
    "clusters": (CLUSTER, Cluster),
    "endpoints": (ENDPOINT, ClusterLoadAssignment),
    "secrets": (SECRET, Secret),
}


def render(node: NodeSnapshot) -> dict[str, list[dict[str, Any]]]:
    """Return every resource of *node* by section; fields are spelt as in Envoy's documentation."""
    return {
        section: [_plain(resource, message) for resource in node.types[url].resources.values()]
        for section, (url, message) in SECTIONS.items()
    }


def _plain(resource: Resource, message: Any) -> dict[str, Any]:  # noqa: ANN401 - generated class
    read = message.FromString(resource.body)
    if resource.type_url == SECRET:
        _redact(read)
    # Through JSON, as the fields of an `Any` come as OrderedDict, which YAML does not know.
    plain: dict[str, Any] = json.loads(MessageToJson(read, preserving_proto_field_name=True))
    if resource.type_url == ROUTE:
        _tell_of_refresh(read, plain)
    return plain


def _redact(secret: Secret) -> None:
    """Take out of *secret* what nobody but Envoy may know; certificates are public."""
    if secret.HasField("tls_certificate"):
        _as_text(secret.tls_certificate.certificate_chain)
        secret.tls_certificate.private_key.inline_string = REDACTED
    if secret.HasField("validation_context"):
        _as_text(secret.validation_context.trusted_ca)
    if secret.HasField("generic_secret"):
        secret.generic_secret.secret.inline_string = REDACTED


def _as_text(data: DataSource) -> None:
    data.inline_string = data.inline_bytes.decode(errors="replace")


def _tell_of_refresh(read: RouteConfiguration, plain: dict[str, Any]) -> None:
    """Add to *plain* the one field of ours that these messages, older than Envoy, do not know."""
    for host, plain_host in zip(read.virtual_hosts, plain["virtual_hosts"], strict=True):
        for route, plain_route in zip(host.routes, plain_host["routes"], strict=True):
            unknown = UnknownFieldSet(route.route.retry_policy)
            for field in unknown:  # type: ignore[attr-defined]  # by __getitem__
                if field.field_number == REFRESH_CLUSTER_ON_RETRY:
                    plain_route["route"]["retry_policy"]["refresh_cluster_on_retry"] = True
