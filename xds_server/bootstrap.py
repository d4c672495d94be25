"""How an Envoy is started so that it asks this control plane for everything else.

Source: "Bootstrap (proto)" of the API reference, "Best practices for edge proxies" and
"Overload manager" of Envoy's docs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import yaml
from typing_extensions import override

from snapshots.ir import names
from xds_server.address import Address

Variant = Literal["delta", "sotw"]
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MAX_DOWNSTREAM_CONNECTIONS = 50_000
_RESOLVED = {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}
"""IPv6 would come first otherwise, and `localhost` has it where nobody listens on it."""


@dataclass(frozen=True, slots=True)
class UnixPath:
    """A Unix socket of this machine."""

    path: str


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """What differs between one Envoy and the next."""

    node_id: str
    node_cluster: str
    xds: Address
    ext_proc: Address | UnixPath
    admin: Address
    variant: Variant


def render_bootstrap(bootstrap: Bootstrap) -> str:
    """Return *bootstrap* as the YAML that `envoy -c` reads."""
    document = {
        "node": {"id": _Quoted(bootstrap.node_id), "cluster": _Quoted(bootstrap.node_cluster)},
        "admin": {"address": _socket_address(bootstrap.admin)},
        "dynamic_resources": _dynamic_resources(bootstrap.variant),
        "static_resources": {
            "clusters": [_xds_cluster(bootstrap), _ext_proc_cluster(bootstrap.ext_proc)]
        },
        "overload_manager": _overload_manager(),
    }
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


class _Quoted(str):
    """Text of a user, always written in quotes: Envoy reads a bare `n` or `1e3` as something else.

    That goes for names of hosts too.
    """

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes `_Quoted` in quotes, and everything where it stands."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    _Quoted,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"'),
)


def _dynamic_resources(variant: Variant) -> dict[str, Any]:
    source: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC" if variant == "delta" else "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [
                {
                    "envoy_grpc": {
                        "cluster_name": names.XDS_CLUSTER,
                        # Envoy waits up to 30 s between attempts unless told otherwise.
                        "retry_policy": {
                            "retry_back_off": {"base_interval": "0.2s", "max_interval": "1s"}
                        },
                    }
                }
            ],
        },
        "cds_config": source,
        "lds_config": source,
    }


def _xds_cluster(bootstrap: Bootstrap) -> dict[str, Any]:
    keepalive = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    return {
        "name": names.XDS_CLUSTER,
        **_RESOLVED,
        "connect_timeout": "1s",
        "typed_extension_protocol_options": _http2(keepalive),
        "load_assignment": _one_endpoint(names.XDS_CLUSTER, _socket_address(bootstrap.xds)),
    }


def _ext_proc_cluster(address: Address | UnixPath) -> dict[str, Any]:
    # Every request has a stream of its own: Envoy's default of 1,024 of each would refuse some.
    most = 1_000_000
    limits = {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    if isinstance(address, UnixPath):
        discovery = {"type": "STATIC"}
        endpoint = {"pipe": {"path": _Quoted(address.path)}}
    else:
        discovery, endpoint = _RESOLVED, _socket_address(address)
    return {
        "name": names.EXT_PROC_CLUSTER,
        **discovery,
        "connect_timeout": "0.25s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": _http2({}),
        "load_assignment": _one_endpoint(names.EXT_PROC_CLUSTER, endpoint),
    }


def _http2(options: dict[str, Any]) -> dict[str, Any]:
    return {
        HTTP_PROTOCOL_OPTIONS: {
            "@type": f"type.googleapis.com/{HTTP_PROTOCOL_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": options},
        }
    }


def _one_endpoint(cluster: str, address: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


def _socket_address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": _Quoted(address.host), "port_value": address.port}}


def _overload_manager() -> dict[str, Any]:
    monitor = "envoy.extensions.resource_monitors.downstream_connections.v3"
    return {
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"type.googleapis.com/{monitor}.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": MAX_DOWNSTREAM_CONNECTIONS,
                },
            }
        ]
    }
