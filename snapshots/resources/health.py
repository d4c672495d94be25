"""How Envoy finds out which of a pool's servers can take requests: by asking, and by watching.

Source: "Health checking (proto)" and "Outlier detection (proto)" of the API reference.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from snapshots.ir import model as ir
from snapshots.resources.parts import seconds

OK = 200
MAX_EJECTION_S = 300
"""Envoy's default of the longest time; it is to be no shorter than the first one."""


def build_outlier_detection(pool: ir.Pool) -> cluster_v3.OutlierDetection | None:
    """Return when a server of *pool* is left alone: by default, while it cannot be reached.

    Never the last one, unless an operator asks for it: Envoy counts a time-out before the first
    byte too, so the short `timeout` of one model would take the pool from the others. Of a pool
    that falls back none for that, as it would take out the endpoint that refuses, too (see
    `endpoints`), and other pools answer meanwhile.
    """
    detection = pool.outlier_detection
    if detection is None:
        return None
    outliers = cluster_v3.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=detection.consecutive_errors,
        enforcing_consecutive_local_origin_failure=0 if pool.falls_back else 100,
        enforcing_consecutive_5xx=100 if detection.consecutive_5xx else 0,
        enforcing_consecutive_gateway_failure=0,
        enforcing_success_rate=0,
        enforcing_local_origin_success_rate=0,
        interval=seconds(detection.interval_s),
        base_ejection_time=seconds(detection.eject_for_s),
        max_ejection_percent=detection.max_ejected_percent,
    )
    if detection.consecutive_5xx:
        outliers.consecutive_5xx = detection.consecutive_5xx
    if detection.eject_for_s > MAX_EJECTION_S:
        outliers.max_ejection_time = seconds(detection.eject_for_s)
    return outliers


def build_health_checks(pool: ir.Pool) -> list[core_v3.HealthCheck]:
    """Return how the servers of *pool* are asked; nothing: they are not."""
    return [_health_check(pool.health_check, pool)] if pool.health_check else []


def _health_check(check: ir.HealthCheck, pool: ir.Pool) -> core_v3.HealthCheck:
    http = core_v3.HealthCheckHttpHealthCheck(
        path=check.path, expected_statuses=_expected(check.status)
    )
    if pool.mount.host:
        http.host = pool.mount.host
    if pool.http2:
        http.codec_client_type = type_v3.CodecClientType.HTTP2
    return core_v3.HealthCheck(
        timeout=seconds(check.timeout_s),
        interval=seconds(check.interval_s),
        # Envoy waits 60 s between checks of a cluster that has had no traffic yet.
        no_traffic_interval=seconds(check.interval_s),
        unhealthy_threshold=check.unhealthy_after,
        healthy_threshold=check.healthy_after,
        http_health_check=http,
    )


def _expected(status: int) -> list[type_v3.Int64Range]:
    """Return what to expect: nothing for 200, which Envoy expects by itself."""
    return [] if status == OK else [type_v3.Int64Range(start=status, end=status + 1)]
