"""Small pieces that several resources hold."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3

from snapshots.ir import model as ir
from snapshots.ir import names

ADS = core_v3.ConfigSource(
    ads=core_v3.AggregatedConfigSource(), resource_api_version=core_v3.ApiVersion.V3
)
"""Where every further resource comes from: the stream that brought this one."""


MAX_UINT32 = 2**32 - 1
RENAMING_BYTES = 512
"""By how much a body may grow when a pool's name, in JSON, takes the place of the client's."""


def cluster_of(pool: ir.Pool) -> str:
    """Return the name of the cluster, and of the load assignment, of *pool*."""
    if pool.shadow:
        return names.shadow_name(pool.name)
    return names.cluster_name(pool.name, pool.header_rules.own, pool.header_rules.foreign)


def cluster_to(target: ir.Target) -> str:
    """Return the name of the cluster that requests for *target* go to."""
    rules = target.header_rules
    return names.cluster_name(target.pool, rules.own, rules.foreign)


def body_limit(extraction: ir.Extraction) -> int:
    """Return how many bytes of a body Envoy holds: the registry's limit, still so once renamed."""
    return min(extraction.max_body_bytes + RENAMING_BYTES, MAX_UINT32)


def seconds(value: float) -> timedelta:
    """Return *value* seconds as the duration that messages hold."""
    return timedelta(seconds=value)


def set_header(key: str, value: str) -> core_v3.HeaderValueOption:
    """Return the option that sets a header, replacing what is there."""
    return core_v3.HeaderValueOption(
        header=core_v3.HeaderValue(key=key, value=value),
        append_action=core_v3.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def literal(text: str) -> str:
    """Return *text* such that Envoy's formatter gives it back: `%` starts a command there."""
    return text.replace("%", "%%")


def socket_address(host: str, port: int) -> core_v3.Address:
    """Return the TCP address *host*:*port*."""
    return core_v3.Address(socket_address=core_v3.SocketAddress(address=host, port_value=port))
