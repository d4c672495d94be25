"""Which pools a model uses, in which order, and when each of them is full for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from snapshots.ir import model as ir
from snapshots.registry import schema

SHED_AT = (4, 5)
"""Of `max_requests`, where a pool says nothing else: numerator and denominator."""


def weights(model: schema.ServedModel) -> dict[str, int]:
    """Return the pools that *model* gives requests to at first, each with its share."""
    return {model.pool: 1} if model.pool is not None else dict(model.split or {})


def with_another_behind(model: schema.ServedModel) -> list[str]:
    """Return the pools whose requests for *model* go on to another one when they fail."""
    return [*weights(model), *model.fallback[:-1]] if model.fallback else []


def tell_pools_of_models(registry: schema.Registry, pools: dict[str, ir.Pool]) -> None:
    """Tell *pools* which of them have another one behind them, and which critical requests."""
    models = registry.models.values()
    before_another = {pool for model in models for pool in with_another_behind(model)}
    last = {pool for model in models for pool in (model.fallback[-1:] or weights(model))}
    for name in before_another:
        is_always = name not in last and not registry.pools[name].adapters
        pools[name] = replace(pools[name], falls_back=True, always_falls_back=is_always)
    critical = (model for model in models if model.priority == "critical")
    for name in {pool for model in critical for pool in (*weights(model), *model.fallback)}:
        pools[name] = replace(
            pools[name], takes_critical=True, max_critical_requests=_own_budget(registry, name)
        )


def _own_budget(registry: schema.Registry, name: str) -> int | None:
    pool = registry.pools[name]
    return pool.max_critical_requests or pool.max_requests


def bounds(
    model: schema.ServedModel, pools: Mapping[str, schema.Pool], *, only: str | None = None
) -> Iterator[ir.Bounds]:
    """Yield when each of *pools* that requests for *model* may be refused by is full for them.

    *only* is the one that an adapter of it uses.
    """
    if model.priority == "sheddable":
        names = [only] if only else [*weights(model), *model.fallback]
    else:
        names = [] if only else with_another_behind(model)
    for name in names:
        pool = pools[name]
        most = _most(pool, model.priority)
        if most or pool.max_pending:
            yield ir.Bounds(name, most, pool.max_pending)


def _most(pool: schema.Pool, priority: schema.Priority) -> int | None:
    """Return how many requests *pool* may have for one of *priority* to be taken still."""
    if priority == "sheddable":
        return pool.shed_at or shed_at(pool.max_requests)
    if priority == "critical" and pool.max_requests:
        return pool.max_requests + (pool.max_critical_requests or pool.max_requests)
    return pool.max_requests


def shed_at(max_requests: int | None) -> int | None:
    """Return from how many requests a pool of *max_requests* sheds."""
    if not max_requests:
        return None
    return max(1, max_requests * SHED_AT[0] // SHED_AT[1])
