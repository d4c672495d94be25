"""One load assignment for each pool.

Source: "HTTP/EDS endpoint configuration (proto)" of the API reference.
"""

from __future__ import annotations

from itertools import groupby

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3

from snapshots.ir import model as ir
from snapshots.resources.parts import cluster_of, socket_address

ONE_IS_ENOUGH = 100_000
"""Envoy would have part of the requests refused as soon as three of ten servers are not healthy."""


def build_load_assignment(pool: ir.Pool) -> endpoint_v3.ClusterLoadAssignment:
    """Return the servers of *pool*, grouped by zone."""
    by_zone = groupby(pool.endpoints, key=lambda endpoint: endpoint.zone)
    assignment = endpoint_v3.ClusterLoadAssignment(
        cluster_name=cluster_of(pool),
        endpoints=[_locality(zone, tuple(members)) for zone, members in by_zone],
    )
    if pool.falls_back:
        assignment.endpoints.append(_refusing())
        assignment.policy = endpoint_v3.ClusterLoadAssignmentPolicy(
            overprovisioning_factor=ONE_IS_ENOUGH
        )
    return assignment


def _refusing() -> endpoint_v3.LocalityLbEndpoints:
    """Return what stands behind all servers, and is tried once none of them is healthy.

    Envoy tries a request again whose connection was refused, and goes on to the next pool; one that
    found no healthy server it answers itself. Nothing can listen on port 0.
    """
    nobody = endpoint_v3.Endpoint(
        address=socket_address("127.0.0.1", 0),
        health_check_config=endpoint_v3.EndpointHealthCheckConfig(disable_active_health_check=True),
    )
    return endpoint_v3.LocalityLbEndpoints(
        priority=1, lb_endpoints=[endpoint_v3.LbEndpoint(endpoint=nobody)]
    )


def _locality(zone: str, members: tuple[ir.Endpoint, ...]) -> endpoint_v3.LocalityLbEndpoints:
    return endpoint_v3.LocalityLbEndpoints(
        locality=core_v3.Locality(zone=zone) if zone else None,
        lb_endpoints=[_endpoint(member) for member in members],
    )


def _endpoint(member: ir.Endpoint) -> endpoint_v3.LbEndpoint:
    return endpoint_v3.LbEndpoint(
        endpoint=endpoint_v3.Endpoint(address=socket_address(member.host, member.port)),
        load_balancing_weight=member.weight,
    )
