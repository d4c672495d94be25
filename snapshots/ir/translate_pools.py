"""From what a registry says of a pool to what is meant, but for what its models make of it."""

from __future__ import annotations

from typing import Literal

from snapshots.ir import pools as ir
from snapshots.ir.translate_secrets import upstream_tls
from snapshots.registry import schema


def translate_pool(name: str, pool: schema.Pool) -> ir.Pool:
    """Return the pool *name*, as far as it does not depend on the models that use it."""
    endpoints = tuple(
        ir.Endpoint(e.address.host, e.address.port, e.weight, e.zone) for e in pool.endpoints
    )
    balancing = pool.load_balancing
    return ir.Pool(
        name=name,
        endpoints=tuple(sorted(endpoints, key=lambda e: (e.zone, e.host, e.port, e.weight))),
        by_dns=not all(e.address.is_ip for e in pool.endpoints),
        health_check=_health_check(pool.health_check) if pool.health_check else None,
        load_balancing=balancing.policy,
        rewrites=pool.model is not None,
        max_requests=pool.max_requests,
        max_pending=pool.max_pending,
        connect_timeout_s=pool.connect_timeout.total_seconds(),
        prefix_bytes=balancing.bytes if balancing.key == "prompt_prefix" else 0,
        hash_key=_hash_key(balancing.key),
        overload_percent=balancing.overload,
        choices=balancing.choices,
        outlier_detection=_outlier_detection(pool.outlier_detection),
        http2=pool.protocol == "http2",
        tls=upstream_tls(name, pool.tls) if pool.tls else None,
    )


def _health_check(check: schema.HealthCheck) -> ir.HealthCheck:
    return ir.HealthCheck(
        path=check.path,
        interval_s=check.interval.total_seconds(),
        timeout_s=check.timeout.total_seconds(),
        unhealthy_after=check.unhealthy_after,
        healthy_after=check.healthy_after,
        status=check.status,
    )


def _hash_key(key: schema.HashKey | str | None) -> ir.HashKey | None:
    if isinstance(key, schema.HashKey):
        return ir.HashKey("header", key.header) if key.header else _cookie(key)
    return ir.HashKey("client_ip") if key == "client_ip" else None


def _cookie(key: schema.HashKey) -> ir.HashKey:
    return ir.HashKey("cookie", key.cookie or "")


def _outlier_detection(
    detection: schema.OutlierDetection | Literal[False],
) -> ir.OutlierDetection | None:
    if not detection:
        return None
    return ir.OutlierDetection(
        consecutive_errors=detection.consecutive_errors,
        consecutive_5xx=detection.consecutive_5xx or 0,
        interval_s=detection.interval.total_seconds(),
        eject_for_s=detection.eject_for.total_seconds(),
        max_ejected_percent=detection.max_ejected_percent,
    )
