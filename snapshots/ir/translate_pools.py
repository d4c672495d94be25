"""From what a registry says of a pool to what is meant, but for what its models make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from snapshots.ir import pools as ir
from snapshots.ir.headers import Mount, translate_headers
from snapshots.ir.secrets import UpstreamTls
from snapshots.ir.translate_secrets import upstream_tls
from snapshots.registry import schema

USUAL_PATH: Final = "/v1"


def translate_pool(name: str, pool: schema.Pool) -> ir.Pool:
    """Return the pool *name*, as far as it does not depend on the models that use it."""
    provider, balancing = pool.provider, pool.load_balancing
    servers = pool.endpoints or ((schema.Endpoint(address=provider.address),) if provider else ())
    endpoints = tuple(
        ir.Endpoint(e.address.host, e.address.port, e.weight, e.zone) for e in servers
    )
    return ir.Pool(
        name=name,
        endpoints=tuple(sorted(endpoints, key=lambda e: (e.zone, e.host, e.port, e.weight))),
        by_dns=not all(e.address.is_ip for e in servers),
        health_check=_health_check(pool),
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
        tls=_tls(name, pool),
        headers=translate_headers(pool.headers),
        mount=_mount(pool),
    )


def _tls(name: str, pool: schema.Pool) -> UpstreamTls | None:
    tls = pool.transport_tls
    if tls is None:
        return None
    told = upstream_tls(name, tls)
    if pool.provider and not told.server_name:
        return replace(told, server_name=pool.provider.address.host)
    return told


def _mount(pool: schema.Pool) -> Mount:
    path = pool.provider.path or None if pool.provider else pool.path_rewrite
    return Mount(
        path=None if path == USUAL_PATH else path,
        host=pool.provider.authority if pool.provider else "",
    )


def _health_check(pool: schema.Pool) -> ir.HealthCheck | None:
    check = pool.health_check
    if not check:
        return None
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
