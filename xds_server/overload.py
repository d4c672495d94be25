"""What an Envoy does before memory, connections or patience run out, as parts of its bootstrap.

Source: "Overload manager", "Configuring Envoy as an edge proxy" and "Runtime" of Envoy's docs.
"""

from __future__ import annotations

import resource
import sys
from typing import Any, Final

MAX_HEAP_BYTES: Final = 2 * 2**30
MAX_CONNECTIONS: Final = 50_000
OWN_FILES: Final = 512
"""Files that an Envoy may need besides those of requests, as for logs and health checks."""
MIN_CONNECTIONS: Final = 16

_HEAP: Final = "envoy.resource_monitors.fixed_heap"
_CONNECTIONS: Final = "envoy.resource_monitors.global_downstream_max_connections"
_TYPES: Final = "type.googleapis.com/envoy.extensions.resource_monitors"


def open_files_here() -> int:
    """Return how many files a process that is started here may have open.

    Envoy raises its own limit to the hard one.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def connections_within(open_files: int) -> int:
    """Return how many connections of clients *open_files* allow, each with one to a server.

    An Envoy that cannot open a file where it needs one crashes.
    """
    return min(MAX_CONNECTIONS, max(MIN_CONNECTIONS, (open_files - OWN_FILES) // 2))


def overload_manager(max_heap_bytes: int, max_connections: int) -> dict[str, Any]:
    """Return the section `overload_manager` of a bootstrap."""
    return {
        "refresh_interval": "0.25s",
        # Streams of HTTP/2 that hold 1 MiB or more are known by what they hold.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "resource_monitors": [
            _monitor(
                _HEAP, "fixed_heap.v3.FixedHeapConfig", {"max_heap_size_bytes": max_heap_bytes}
            ),
            _monitor(
                _CONNECTIONS,
                "downstream_connections.v3.DownstreamConnectionsConfig",
                {"max_active_downstream_connections": max_connections},
            ),
        ],
        "actions": _actions(),
        "loadshed_points": [
            # Of HTTP/1.1, Envoy does not know what a stream holds: what goes on sending is cut. An
            # answer sends nothing.
            _action("load_shed_points.http1_server_abort_dispatch", _at(0.97)),
        ],
    }


def runtime() -> dict[str, Any]:
    """Return the section `layered_runtime` of a bootstrap; nothing else can change these values."""
    values = {
        # A connection most of whose first 500 streams were given up within a second is closed.
        "overload.premature_reset_total_stream_count": 500,
        "overload.premature_reset_min_stream_lifetime_seconds": 1,
        # Of many requests that one connection brings at once, the others' come in between. With 1,
        # as the guide has it, bursts over HTTP/2 take a quarter more time; with 10 no more at all.
        "http.max_requests_per_io_cycle": 10,
    }
    return {"layers": [{"name": "static", "static_layer": values}]}


def _monitor(name: str, message: str, fields: dict[str, int]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPES}.{message}", **fields}}


def _actions() -> list[dict[str, Any]]:
    """Return what is done as the heap fills, the mildest first."""
    idle = {
        "@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig",
        "timer_scale_factors": [
            {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
        ],
    }
    return [
        _action("overload_actions.reduce_timeouts", _scaled(0.85, 0.95)) | {"typed_config": idle},
        _action("overload_actions.shrink_heap", _at(0.90)),
        _action("overload_actions.disable_http_keepalive", _at(0.92)),
        _action("overload_actions.reset_high_memory_stream", _scaled(0.92, 0.98)),
        _action("overload_actions.stop_accepting_requests", _at(0.95)),
        _action("overload_actions.reject_incoming_connections", _at(0.98)),
    ]


def _action(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"envoy.{name}", "triggers": [{"name": _HEAP, **trigger}]}


def _at(share: float) -> dict[str, Any]:
    return {"threshold": {"value": share}}


def _scaled(begins: float, ends: float) -> dict[str, Any]:
    return {"scaled": {"scaling_threshold": begins, "saturation_threshold": ends}}
