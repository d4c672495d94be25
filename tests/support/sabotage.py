"""Resources that Envoy refuses, of a registry in which nothing is wrong.

As a program, `python -m tests.support.sabotage` is `modelyard` with these defects.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from snapshots import build

REFUSED = "refused"
"""The pools and models whose names begin with this are refused."""
REFUSED_TIME_S = 6.66
"""So are pools with this `connect_timeout`, and models with this `timeout`: an edit can make one
of what was good, and repair it."""

_build_cluster = build.build_cluster
_build_model_routes = build.build_model_routes


def build_cluster(pool: Any) -> Any:
    """Return the cluster of *pool*, which may break a rule of Envoy's messages."""
    cluster = _build_cluster(pool)
    if pool.name.startswith(REFUSED) or pool.connect_timeout_s == REFUSED_TIME_S:
        cluster.outlier_detection.max_ejection_percent = 300
    return cluster


def build_model_routes(route: Any, *arguments: Any, **more: Any) -> Any:
    """Return the routes of *route*, which may hold a time that is none."""
    routes = _build_model_routes(route, *arguments, **more)
    if route.name.startswith(REFUSED) or route.timeout_s == REFUSED_TIME_S:
        routes.virtual_hosts[0].routes[0].route.timeout = timedelta(seconds=-1)
    return routes


if __name__ == "__main__":
    from xds_server.cli import main

    build.build_cluster = build_cluster
    build.build_model_routes = build_model_routes
    main()
