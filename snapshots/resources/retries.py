"""When Envoy tries a request again.

Source: "x-envoy-retry-on" and "Retry plugin configuration" on the router's page of Envoy's docs.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts_v3

from snapshots.ir import model as ir
from snapshots.resources.encode import pack
from snapshots.resources.parts import seconds

UNREACHABLE = "connect-failure,refused-stream,reset-before-request"
"""Failures before a server saw the request: trying another one can do no harm."""


@cache
def build_retry_policy(
    retries: ir.Retries, pools: int = 1, *, refresh: bool = True
) -> route_v3.RetryPolicy | None:
    """Return the policy for *retries* in each of *pools*, None if there are to be none.

    Envoy never retries once an answer has begun. How many retries a pool may have at a time is the
    budget of its cluster's circuit breakers.
    """
    tries = (1 + retries.attempts) * pools
    if tries == 1:
        return None
    other_host = route_v3.RetryPolicyRetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts",
        typed_config=pack(previous_hosts_v3.PreviousHostsPredicate()),
    )
    return route_v3.RetryPolicy(
        retry_on=",".join(_conditions(retries)),
        retriable_status_codes=list(retries.statuses),
        num_retries=tries - 1,
        per_try_timeout=seconds(retries.per_try_timeout_s) if retries.per_try_timeout_s else None,
        retry_host_predicate=[other_host],
        host_selection_retry_max_attempts=3,
        # Another pool of a split may be chosen, and the rewrite then does as that pool asks.
        refresh_cluster_on_retry=refresh,
        retry_back_off=route_v3.RetryPolicyRetryBackOff(
            base_interval=timedelta(milliseconds=25), max_interval=timedelta(milliseconds=250)
        ),
    )


def _conditions(retries: ir.Retries) -> list[str]:
    conditions = [UNREACHABLE] if retries.on_unreachable else []
    conditions += ["reset"] if retries.on_reset else []
    conditions += ["retriable-status-codes"] if retries.statuses else []
    return conditions
