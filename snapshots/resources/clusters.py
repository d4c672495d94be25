"""One cluster for each pool.

Source: "Cluster (proto)", "Health checking (proto)" and "HTTP upstream options (proto)" of the API.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec import v3 as upstream_codec_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as upstreams_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.google.protobuf import Any

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.headers import Headers, Mount
from snapshots.ir.secrets import Credential
from snapshots.resources.balancing import build_choices, build_policy
from snapshots.resources.credentials import build_credential_filters
from snapshots.resources.encode import pack, struct
from snapshots.resources.endpoints import build_load_assignment
from snapshots.resources.health import build_health_checks, build_outlier_detection
from snapshots.resources.parts import ADS, cluster_of, seconds
from snapshots.resources.pool_headers import build_header_filters, build_mount_filters
from snapshots.resources.priorities import critical_breaker
from snapshots.resources.rewrite import build_rewrite_filter
from snapshots.resources.tls import upstream_socket

UNBOUNDED = 1_000_000
"""Envoy's default of 1,024 requests for a cluster is far below what streams of tokens need."""
MAX_COPIES = 256
"""Copies of requests that a pool may have at a time: one that hangs is not to fill the memory."""
SPARE_PLACES = 64
"""In a pool whose routes look for room: as many of Envoy's threads may see the last free place at
the same moment."""
HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MAX_KEPT = 1024

LB_POLICIES = {
    "least_request": cluster_v3.ClusterLbPolicy.LEAST_REQUEST,
    "round_robin": cluster_v3.ClusterLbPolicy.ROUND_ROBIN,
    "random": cluster_v3.ClusterLbPolicy.RANDOM,
    "maglev": cluster_v3.ClusterLbPolicy.MAGLEV,
    "ring_hash": cluster_v3.ClusterLbPolicy.RING_HASH,
}


def build_cluster(pool: ir.Pool) -> cluster_v3.Cluster:
    """Return the cluster of *pool*; its endpoints travel by EDS unless Envoy resolves them."""
    cluster = cluster_v3.Cluster(
        name=cluster_of(pool),
        connect_timeout=seconds(pool.connect_timeout_s),
        lb_policy=LB_POLICIES[pool.load_balancing],
        load_balancing_policy=build_policy(pool),
        least_request_lb_config=build_choices(pool),
        common_lb_config=cluster_v3.ClusterCommonLbConfig(
            # A dead server gets no request, also when all are dead: 503 says it.
            healthy_panic_threshold=type_v3.Percent(value=0),
            # Envoy holds the result of a new server's first check back for 1 s unless told not to.
            update_merge_window=seconds(0),
        ),
        # Else a removed server that still answers its health check keeps getting requests.
        ignore_health_on_host_removal=True,
        circuit_breakers=_circuit_breakers(pool),
        outlier_detection=build_outlier_detection(pool),
        health_checks=build_health_checks(pool),
        typed_extension_protocol_options={
            HTTP_PROTOCOL_OPTIONS: _http_options(_filtering(pool), pool.http2)
        },
        metadata=core_v3.Metadata(
            filter_metadata={names.POOL_METADATA: struct({"pool": pool.name})}
        ),
    )
    if pool.header_rules != ir.NO_RULES:
        cluster.alt_stat_name = names.pool_stats(pool.name)
    if pool.tls:
        cluster.transport_socket = upstream_socket(pool.tls, http2=pool.http2)
    _set_discovery(cluster, pool)
    return cluster


def build_no_model_cluster() -> cluster_v3.Cluster:
    """Return the cluster without servers that uploads match before their model is known."""
    return cluster_v3.Cluster(
        name=names.NO_MODEL_CLUSTER,
        type=cluster_v3.ClusterDiscoveryType.STATIC,
        load_assignment=endpoint_v3.ClusterLoadAssignment(cluster_name=names.NO_MODEL_CLUSTER),
    )


def _set_discovery(cluster: cluster_v3.Cluster, pool: ir.Pool) -> None:
    if pool.by_dns:
        cluster.type = cluster_v3.ClusterDiscoveryType.STRICT_DNS
        cluster.dns_lookup_family = cluster_v3.ClusterDnsLookupFamily.V4_PREFERRED
        cluster.load_assignment = build_load_assignment(pool)
    else:
        cluster.type = cluster_v3.ClusterDiscoveryType.EDS
        cluster.eds_cluster_config = cluster_v3.ClusterEdsClusterConfig(eds_config=ADS)


def _circuit_breakers(pool: ir.Pool) -> cluster_v3.CircuitBreakers:
    spare = SPARE_PLACES if pool.always_falls_back else 0
    max_requests = pool.max_requests or (MAX_COPIES if pool.shadow else UNBOUNDED)
    thresholds = cluster_v3.CircuitBreakersThresholds(
        max_connections=UNBOUNDED,
        max_pending_requests=(pool.max_pending or UNBOUNDED) + spare,
        max_requests=max_requests + spare,
        max_retries=UNBOUNDED,
        retry_budget=cluster_v3.CircuitBreakersThresholdsRetryBudget(
            budget_percent=type_v3.Percent(value=20),
            # To go on to another pool is no storm on this one.
            min_retry_concurrency=UNBOUNDED if pool.falls_back else 10,
        ),
    )
    critical = critical_breaker(pool, thresholds, UNBOUNDED)
    return cluster_v3.CircuitBreakers(thresholds=[thresholds, *critical])


class _Filtering(NamedTuple):
    """What decides on the upstream filters of a pool."""

    rewriting: str
    """The pool's name, if it renames models."""
    shadow: ir.Target | None
    foreign_headers: tuple[str, ...]
    credential: Credential | None
    headers: Headers
    mount: Mount


def _filtering(pool: ir.Pool) -> _Filtering:
    return _Filtering(
        pool.name if pool.rewrites else "",
        pool.shadow,
        pool.header_rules.foreign,
        pool.credential,
        pool.headers,
        pool.mount,
    )


@lru_cache(maxsize=MAX_KEPT)
def _http_options(wanted: _Filtering, http2: bool) -> Any:
    """Return the options of a pool, with the filters that are *wanted*."""
    filters = build_credential_filters(wanted.foreign_headers, wanted.credential)
    filters += build_header_filters(wanted.headers)
    if wanted.rewriting:
        filters.append(build_rewrite_filter(wanted.rewriting, wanted.shadow))
    filters += build_mount_filters(wanted.mount, wanted.foreign_headers)
    codec = hcm_v3.HttpFilter(
        name=names.UPSTREAM_CODEC_FILTER, typed_config=pack(upstream_codec_v3.UpstreamCodec())
    )
    options = upstreams_v3.HttpProtocolOptions(
        explicit_http_config=_protocol(http2),
        http_filters=[*filters, codec] if filters else [],
    )
    return pack(options)


def _protocol(http2: bool) -> upstreams_v3.HttpProtocolOptionsExplicitHttpConfig:
    if not http2:
        return upstreams_v3.HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=core_v3.Http1ProtocolOptions()
        )
    # One connection has many requests: a dead one is to be noticed before they time out.
    keepalive = core_v3.KeepaliveSettings(interval=seconds(30), timeout=seconds(10))
    return upstreams_v3.HttpProtocolOptionsExplicitHttpConfig(
        http2_protocol_options=core_v3.Http2ProtocolOptions(connection_keepalive=keepalive)
    )
