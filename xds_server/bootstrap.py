"""How an Envoy is started so that it asks this control plane for everything else.

Source: "Bootstrap (proto)" of the API reference, "Best practices for edge proxies" and
"Overload manager" of Envoy's docs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from snapshots.ir import names
from xds_server.address import Address
from xds_server.bootstrap_channel import XdsCredentials, http_filters, secrets, transport_socket
from xds_server.overload import MAX_CONNECTIONS, MAX_HEAP_BYTES, overload_manager, runtime
from xds_server.quoted import Quoted, dump

Variant = Literal["delta", "sotw"]
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_RESOLVED = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}
"""IPv6 would come first otherwise, and `localhost` has it where nobody listens on it."""

COMPANION_HEALTH_CHECK = {
    "interval": "0.1s",
    "no_traffic_interval": "0.1s",
    "unhealthy_interval": "0.1s",
    # Out after two checks in a row, 0.9 s at most: before the first request gives one up that
    # hangs (`MESSAGE_TIMEOUT_S`), so that the second companion that it asks is another.
    "timeout": "0.35s",
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
    "grpc_health_check": {},
}
"""How a companion that hangs is found, and one that is back."""

COMPANION_OUTLIERS = {
    # What fails to connect, or loses its connection, is out at once: not at the next check, as it
    # would draw all requests until then, being the one with the least to do. A check that it
    # passes brings it back.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 2,
    # Never the last one: if what was lost is a worker of it, the others answer. Connecting to one
    # that is gone fails at once, and soon a check does.
    "max_ejection_percent": 99,
    "base_ejection_time": "1s",
    "max_ejection_time": "1s",
    # Nothing that a companion answers is held against it.
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
}
"""How a companion that is gone is found, by what becomes of requests."""

CONTROL_PLANE_KEEPALIVE = {"interval": "5s", "timeout": "3s"}
"""How soon a control plane that hangs, or whose machine is gone, is left: its system may go on
accepting connections, so connecting proves nothing, and an ADS stream may be silent for days."""

CONTROL_PLANE_OUTLIERS = {
    # What refuses connections or ends streams with UNAVAILABLE is left out at once, so that an
    # Envoy that reconnects does not find the same one again, or each dead one in turn.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 1,
    "consecutive_gateway_failure": 1,
    "enforcing_consecutive_gateway_failure": 100,
    # Back soon: in a rolling upgrade it may be the only one left a moment later.
    "interval": "0.5s",
    "base_ejection_time": "1s",
    "max_ejection_time": "2s",
    # Never the last one: with all of them away, connecting is tried on.
    "max_ejection_percent": 99,
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
}
"""How a control plane that is gone is found, by what becomes of streams."""

_LEAST_REQUEST = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
_LEAST_BUSY = {
    "name": _LEAST_REQUEST,
    "typed_config": {
        "@type": f"type.googleapis.com/{_LEAST_REQUEST}",
        # Of all, not of two at random: requests pile up at one that hangs, and none follow.
        "selection_method": "FULL_SCAN",
    },
}


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A Unix socket of this machine."""

    path: str


Companion = Address | UnixPath
"""Where a companion listens."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What differs between one Envoy and the next."""

    node_id: str
    node_cluster: str
    xds: tuple[Address, ...]
    """At least one control plane, all on the same registry; Envoy takes another when one fails."""
    ext_proc: tuple[Companion, ...]
    """At least one; Envoy goes to whichever of them is healthy and has least to do."""
    admin: Address | UnixPath
    variant: Variant
    max_heap_bytes: int = MAX_HEAP_BYTES
    max_connections: int = MAX_CONNECTIONS
    """Of all clients together; what comes beyond is closed at once."""
    node_metadata: Mapping[str, str] = field(default_factory=dict)
    channel: XdsCredentials = field(default_factory=XdsCredentials)


def render_bootstrap(bootstrap: Bootstrap) -> str:
    """Return *bootstrap* as the YAML that `envoy -c` reads."""
    document = {
        "node": _node(bootstrap),
        "admin": {
            "address": _address(bootstrap.admin),
            # However many clients there are, the operator gets in.
            "ignore_global_conn_limit": True,
        },
        "dynamic_resources": _dynamic_resources(bootstrap),
        # So that a pool or server that leaves is kept until nothing is in progress there.
        "cluster_manager": {"load_stats_config": _api("GRPC")},
        "static_resources": {
            "clusters": [_xds_cluster(bootstrap), _ext_proc_cluster(bootstrap.ext_proc)],
            **secrets(bootstrap.channel),
        },
        "overload_manager": overload_manager(bootstrap.max_heap_bytes, bootstrap.max_connections),
        "layered_runtime": runtime(),
    }
    return dump(document)


def _node(bootstrap: Bootstrap) -> dict[str, Any]:
    node = {"id": Quoted(bootstrap.node_id), "cluster": Quoted(bootstrap.node_cluster)}
    if not bootstrap.node_metadata:
        return node
    metadata = {Quoted(k): Quoted(v) for k, v in bootstrap.node_metadata.items()}
    return {**node, "metadata": metadata}


def _dynamic_resources(bootstrap: Bootstrap) -> dict[str, Any]:
    source: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
    return {
        "ads_config": {
            **_api("DELTA_GRPC" if bootstrap.variant == "delta" else "GRPC"),
            "set_node_on_first_message_only": True,
        },
        "cds_config": source,
        "lds_config": source,
    }


def _api(api_type: str) -> dict[str, Any]:
    """Return how Envoy asks the control plane."""
    service = {
        "cluster_name": names.XDS_CLUSTER,
        # Envoy waits up to 30 s between attempts unless told otherwise.
        "retry_policy": {"retry_back_off": {"base_interval": "0.2s", "max_interval": "1s"}},
    }
    return {
        "api_type": api_type,
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": service}],
    }


def _xds_cluster(bootstrap: Bootstrap) -> dict[str, Any]:
    keepalive = {"connection_keepalive": CONTROL_PLANE_KEEPALIVE}
    return {
        "name": names.XDS_CLUSTER,
        **_RESOLVED,
        "connect_timeout": "1s",
        # Each Envoy begins at a random one, so that they spread, and takes the next after it.
        "lb_policy": "ROUND_ROBIN",
        "outlier_detection": CONTROL_PLANE_OUTLIERS,
        # One that is left of three is used alone; dead ones are tried only where all are.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "typed_extension_protocol_options": _http2(keepalive, http_filters(bootstrap.channel)),
        **transport_socket(bootstrap.channel, [address.host for address in bootstrap.xds]),
        "load_assignment": _endpoints(names.XDS_CLUSTER, map(_socket_address, bootstrap.xds)),
    }


def _ext_proc_cluster(companions: tuple[Companion, ...]) -> dict[str, Any]:
    # Every request has a stream of its own: Envoy's defaults would refuse some.
    limited = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {
        "name": names.EXT_PROC_CLUSTER,
        **(_RESOLVED if any(map(is_name, companions)) else {"type": "STATIC"}),
        "connect_timeout": "0.25s",
        "circuit_breakers": {"thresholds": [dict.fromkeys(limited, 1_000_000)]},
        "health_checks": [COMPANION_HEALTH_CHECK],
        "outlier_detection": COMPANION_OUTLIERS,
        "ignore_health_on_host_removal": True,
        "common_lb_config": {
            # With no companion left, requests go on without one at once; Envoy's default would
            # have them try the dead ones.
            "healthy_panic_threshold": {"value": 0},
            # Else a companion that fails within a second after another's return stays in use for
            # the rest of that second.
            "update_merge_window": "0s",
        },
        "load_balancing_policy": {"policies": [{"typed_extension_config": _LEAST_BUSY}]},
        "typed_extension_protocol_options": _http2({}, {}),
        "load_assignment": _endpoints(names.EXT_PROC_CLUSTER, map(_address, companions)),
    }


def is_name(companion: Companion) -> bool:
    """Tell whether *companion* is at a name, which Envoy has to resolve."""
    if isinstance(companion, UnixPath):
        return False
    try:
        ipaddress.ip_address(companion.host)
    except ValueError:
        return True
    return False


def _address(where: Address | UnixPath) -> dict[str, Any]:
    if isinstance(where, UnixPath):
        return {"pipe": {"path": Quoted(where.path)}}
    return _socket_address(where)


def _http2(options: dict[str, Any], filters: dict[str, Any]) -> dict[str, Any]:
    return {
        HTTP_PROTOCOL_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_PROTOCOL_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": options},
            **filters,
        }
    }


def _endpoints(cluster: str, addresses: Iterable[dict[str, Any]]) -> dict[str, Any]:
    members = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": members}]}


def _socket_address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": Quoted(address.host), "port_value": address.port}}
