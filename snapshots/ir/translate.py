"""From the registry to the intermediate representation: defaults, references, order.

Expects a validated registry: every pool and model that is referred to exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from snapshots.ir import model as ir
from snapshots.ir.chains import bounds, tell_pools_of_models, weights
from snapshots.ir.clients import Restrictions, translate_clients, translate_rate_limit
from snapshots.ir.credentials import add_credentials
from snapshots.ir.edge import Edge
from snapshots.ir.headers import translate_headers
from snapshots.ir.names import CLIENT_HEADER
from snapshots.ir.translate_pools import translate_pool
from snapshots.ir.translate_secrets import listener_tls
from snapshots.registry import schema
from snapshots.registry.client_keys import NO_DIGESTS, KeyDigests
from snapshots.registry.paths import split_prefix

FAILURES = (429, 502, 503)
"""Answers by which a server says that it will not do it."""


def translate(registry: schema.Registry, digests: KeyDigests = NO_DIGESTS) -> ir.Intent:
    """Return what *registry* means; the order of its entries tells only a pool's first model.

    *digests* are those of the clients' keys; without them, as where a registry is only looked at,
    no key is the right one.
    """
    pools = {name: translate_pool(name, pool) for name, pool in registry.pools.items()}
    tell_pools_of_models(registry, pools)
    add_credentials(registry, pools)
    translator = _Names(registry, pools)
    clients = translate_clients(registry, digests)
    gateways = (
        _gateway(name, registry, translator, pools, clients) for name in sorted(registry.gateways)
    )
    return ir.Intent(tuple(gateways))


class _Names:
    """The routable names of a registry, and where each goes."""

    def __init__(self, registry: schema.Registry, pools: dict[str, ir.Pool]) -> None:
        self._registry = registry
        self._pools = pools
        self._restrictions = Restrictions(registry)
        self._first_model = self._first_models()

    def _first_models(self) -> dict[str, str]:
        """Return, for each pool, the first model of the file that points at it."""
        first: dict[str, str] = {}
        for name, model in self._registry.models.items():
            for pool in (*weights(model), *model.fallback):
                first.setdefault(pool, name)
        return first

    def of_model(self, name: str) -> ir.Route:
        """Return the route of the model *name*."""
        model = self._registry.models[name]
        targets = (self._target(pool, weight) for pool, weight in weights(model).items())
        return ir.Route(
            name=name,
            base_model=name,
            targets=tuple(sorted(targets)),
            timeout_s=model.timeout.total_seconds(),
            idle_timeout_s=model.idle_timeout.total_seconds(),
            sticky=_sticky(model.sticky),
            retries=_falling_back(model.retries) if model.fallback else _retries(model.retries),
            fallback=tuple(self._target(pool, 1) for pool in model.fallback),
            bounds=tuple(bounds(model, self._registry.pools)),
            priority=model.priority,
            headers=translate_headers(model.headers),
            mirror=ir.Mirror(model.mirror.pool, model.mirror.percent) if model.mirror else None,
            origin=("models", name),
            restriction=self._restrictions.of(name),
            rate_limit=translate_rate_limit(model.rate_limit),
        )

    def shadow(self, pool: ir.Pool) -> ir.Pool:
        """Return *pool* as it takes copies of requests."""
        return replace(
            pool,
            shadow=self._target(pool.name, 1),
            falls_back=False,
            always_falls_back=False,
            takes_critical=False,
            max_critical_requests=None,
            # Copies are made before any pool has set a header.
            header_rules=ir.NO_RULES,
        )

    def _target(self, pool: str, weight: int) -> ir.Target:
        wanted = self._registry.pools[pool]
        keep = tuple(sorted(wanted.adapters)) if wanted.model else ()
        return ir.Target(pool, weight, wanted.model or "", keep, self._pools[pool].header_rules)

    def of_adapter(self, pool: str, adapter: str) -> ir.Route:
        """Return the route of *adapter*; all but its pool is as for the pool's first model."""
        owner = self._first_model.get(pool)
        model = self._registry.models[owner] if owner else schema.ServedModel(pool=pool)
        return ir.Route(
            name=adapter,
            base_model=self._registry.pools[pool].model or owner or pool,
            targets=(ir.Target(pool, 1, "", (), self._pools[pool].header_rules),),
            timeout_s=model.timeout.total_seconds(),
            idle_timeout_s=model.idle_timeout.total_seconds(),
            sticky=_sticky(model.sticky),
            retries=_retries(model.retries),
            origin=("pools", pool, "adapters"),
            restriction=self._restrictions.of(adapter),
            bounds=tuple(bounds(model, self._registry.pools, only=pool)),
            priority=model.priority,
            headers=translate_headers(model.headers),
            rate_limit=translate_rate_limit(model.rate_limit),
        )


def _sticky(sticky: schema.Sticky | None) -> ir.Sticky | None:
    if sticky is None:
        return None
    if sticky.header:
        return ir.Sticky("header", sticky.header)
    if sticky.client:
        return ir.Sticky("client", CLIENT_HEADER)
    return ir.Sticky("cookie", sticky.cookie or "")


def _retries(retries: schema.Retries) -> ir.Retries:
    return ir.Retries(
        attempts=retries.attempts,
        on_unreachable="unreachable" in retries.on,
        on_reset="reset" in retries.on,
        statuses=tuple(sorted({cause for cause in retries.on if isinstance(cause, int)})),
        per_try_timeout_s=retries.per_try_timeout.total_seconds(),
    )


def _falling_back(retries: schema.Retries) -> ir.Retries:
    """Return when a request goes on to the next pool, or to another server of its own first."""
    asked = _retries(retries)
    return replace(
        asked,
        attempts=asked.attempts if "attempts" in retries.model_fields_set else 0,
        on_unreachable=True,
        on_reset=True,
        statuses=tuple(sorted({*asked.statuses, *FAILURES})),
    )


def _gateway(
    name: str,
    registry: schema.Registry,
    names: _Names,
    pools: dict[str, ir.Pool],
    clients: tuple[ir.Client, ...],
) -> ir.Gateway:
    gateway = registry.gateways[name]
    exposed = tuple(registry.models) if gateway.models == "*" else gateway.models
    of_models = {model: names.of_model(model) for model in exposed}
    targets = (t for route in of_models.values() for t in (*route.targets, *route.fallback))
    used = {target.pool for target in targets}
    if gateway.models == "*":
        used |= {pool for pool, declared in registry.pools.items() if declared.adapters}
    mirrored = {route.mirror.pool for route in of_models.values() if route.mirror}
    routes = [
        *of_models.values(),
        *_aliases(registry, of_models),
        *(names.of_adapter(pool, a) for pool in used for a in registry.pools[pool].adapters),
    ]
    default = registry.default_model or ""
    return ir.Gateway(
        name=name,
        nodes=gateway.nodes,
        host=gateway.listen.host,
        port=gateway.listen.port,
        response_headers=gateway.response_headers,
        extraction=ir.Extraction(
            registry.extraction.mode, registry.extraction.on_failure, registry.extraction.max_body
        ),
        routes=tuple(sorted(routes, key=lambda route: route.name)),
        path_routes=tuple(sorted(_path_routes(registry, of_models), key=_longest_first)),
        pools=tuple(pools[pool] for pool in sorted(used)),
        shadows=tuple(names.shadow(pools[pool]) for pool in sorted(mirrored)),
        default_model=default if any(route.name == default for route in routes) else "",
        clients=clients,
        access_log=gateway.access_log or "",
        tls=listener_tls(name, gateway.tls) if gateway.tls else None,
        edge=_edge(gateway),
    )


def _edge(gateway: schema.Gateway) -> Edge:
    limits = gateway.limits
    return Edge(
        trusted_hops=gateway.trusted_hops,
        max_headers=limits.max_headers,
        max_headers_bytes=limits.max_header_size,
        drops_underscores=limits.headers_with_underscores == "drop",
        request_headers_timeout_s=limits.request_headers_timeout.total_seconds(),
        request_timeout_s=limits.request_timeout.total_seconds(),
        connection_idle_timeout_s=limits.connection_idle_timeout.total_seconds(),
        max_concurrent_streams=limits.max_concurrent_streams,
    )


def _aliases(registry: schema.Registry, of_models: dict[str, ir.Route]) -> Iterator[ir.Route]:
    for model, route in of_models.items():
        for alias in registry.models[model].aliases:
            origin = (*route.origin, "aliases")
            limited_by = model if route.rate_limit else ""
            yield replace(route, name=alias, origin=origin, limited_by=limited_by)


def _path_routes(
    registry: schema.Registry, of_models: dict[str, ir.Route]
) -> Iterator[ir.PathRoute]:
    for model, route in of_models.items():
        for prefix in registry.models[model].paths:
            stays, _ = split_prefix(prefix)
            yield ir.PathRoute(prefix, stays, route)


def _longest_first(path_route: ir.PathRoute) -> tuple[int, str]:
    return -len(path_route.prefix), path_route.prefix
