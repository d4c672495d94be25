"""Where a request would go, and why: Envoy's decisions, told from the same resolved registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from snapshots.ir import model as ir
from snapshots.ir import names
from snapshots.ir.clients import is_allowed
from snapshots.rules_in_words import about_limit, about_priority, about_route
from snapshots.user_pool import pool_of_user, user_of
from snapshots.ways import about_pools

METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
METHODS_THAT_READ = frozenset({"GET", "HEAD"})
MODEL_LIST_PATH = "/v1/models"


@dataclass(frozen=True, slots=True)
class Share:
    """One pool that may answer."""

    pool: str
    percent: float
    rewrite_to: str
    """The `model` that the server sees; empty: what the client wrote."""
    endpoints: tuple[str, ...]
    chosen_by: str = ""
    """What decides which server it is; empty: nothing of the request."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The fate of one request."""

    gateway: str
    scope: str
    """Name of the scope and of the RouteConfiguration that decide; empty: none matches."""
    why: tuple[str, ...]
    """The steps of the decision, in order."""
    status: int | None
    """What Envoy answers by itself; None: a server answers."""
    base_model: str
    upstream_path: str
    shares: tuple[Share, ...]
    timeout_s: float
    fallback: tuple[Share, ...] = ()
    """The pools that it goes on to, in order; they have no share."""
    rules: tuple[str, ...] = ()
    """What else holds for the request on its way, each in words."""
    user_pool: str = ""
    """The pool of `shares` that this user always gets; empty: chance decides by the shares."""


@dataclass(frozen=True, slots=True)
class Request:
    """What routing looks at; *model* is None where the body names none."""

    model: str | None
    path: str = "/v1/chat/completions"
    method: str = "POST"
    client: str | None = None
    """Whose key it shows."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """With names in lower case."""
    user: str | None = None
    """What tells the user apart, wherever the model looks for that; None: what *headers* say."""


def explain(gateway: ir.Gateway, request: Request) -> Explanation:
    """Return what *gateway* does with *request*."""
    if not gateway.clients:
        return _unguarded(gateway, request)
    if request.client not in {client.name for client in gateway.clients}:
        shown = f"no client is named {request.client!r}" if request.client else "it shows no key"
        return _answered(gateway, 401, (f"{shown}, and this gateway asks for one",))
    known = f"its key is that of the client {request.client}, which servers see as "
    told = _unguarded(gateway, request)
    limits = (c.rate_limit for c in gateway.clients if c.name == request.client and c.rate_limit)
    rules = tuple(f"the client may send {about_limit(limit)}" for limit in limits)
    why = (f"{known}{names.CLIENT_HEADER}", *told.why)
    return replace(told, why=why, rules=(*told.rules, *rules))


def _unguarded(gateway: ir.Gateway, request: Request) -> Explanation:
    """Return what *gateway* does with *request* whose key, if it needs one, is a client's."""
    path = request.path.partition("?")[0]
    if request.method in METHODS_THAT_READ and path == MODEL_LIST_PATH:
        return _answered(gateway, 200, ("the list of models is answered by the gateway itself",))
    for path_route in gateway.path_routes:
        if path == path_route.prefix or path.startswith(f"{path_route.prefix}/"):
            return _by_path(gateway, path_route, request)
    if request.method not in METHODS_WITH_BODY:
        return _answered(gateway, 400, (f"{request.method} has no body to read a model from",))
    if request.model is None and gateway.default_model:
        absent = f"the body has no model, and keeps none: {gateway.default_model!r} is the default"
        found = _by_name(gateway, request, gateway.default_model, absent)
        return replace(found, shares=tuple(replace(s, rewrite_to="") for s in found.shares))
    if not request.model or request.model.isspace():
        return _answered(gateway, 400, ("the body names no model",))
    read = f"model {request.model!r} is read from the body into {names.MODEL_HEADER}"
    return _by_name(gateway, request, request.model, read)


def _by_name(gateway: ir.Gateway, request: Request, model: str, read: str) -> Explanation:
    exact = (r for r in gateway.routes if r.name == model and not r.is_wildcard)
    route = next(exact, None) or _longest_wildcard(gateway, model)
    if route is None:
        nothing = "no model, alias or adapter has this name"
        if gateway.has_wildcards:
            nothing += ", and no wildcard matches it"
        near = get_close_matches(model, (r.name for r in gateway.routes if not r.is_wildcard), n=1)
        if near:
            nothing += f"; did you mean {near[0]!r}?"
        return _answered(gateway, 404, (read, nothing), scope="")
    why = [read]
    if route.is_wildcard:
        why.append(f"nothing has exactly this name; the longest wildcard for it is {route.name!r}")
    why.append(f"{route.name!r} is declared at {'.'.join(route.origin)}")
    scope = names.route_name(route.name)
    if not _may_use(request, route):
        why.append(_not_allowed(request, route))
        return _answered(gateway, 403, tuple(why), scope)
    return _routed(gateway, route, scope, request, tuple(why))


def _longest_wildcard(gateway: ir.Gateway, model: str) -> ir.Route | None:
    matching = (r for r in gateway.routes if r.is_wildcard and model.startswith(r.name[:-1]))
    return max(matching, key=lambda route: len(route.name), default=None)


def _may_use(request: Request, route: ir.Route) -> bool:
    return request.client is None or is_allowed(request.client, route.restriction)


def _not_allowed(request: Request, route: ir.Route) -> str:
    return f"the client {request.client} may not use {route.base_model!r}"


def _by_path(gateway: ir.Gateway, path_route: ir.PathRoute, request: Request) -> Explanation:
    if not _may_use(request, path_route.route):
        begins = f"the path begins with {path_route.prefix}: the body is not looked at"
        return _answered(gateway, 403, (begins, _not_allowed(request, path_route.route)))
    rest = request.path.removeprefix(path_route.prefix).lstrip("/")
    upstream_path = f"{path_route.replacement}/{rest}"
    why = (
        f"the path begins with {path_route.prefix}: the body is not looked at",
        f"the prefix is cut: {request.path} -> {upstream_path}",
    )
    route = _keeping(path_route.route, request.model)
    seen = replace(request, path=upstream_path)
    return _routed(gateway, route, names.NO_MODEL_ROUTES, seen, why)


def _keeping(route: ir.Route, model: str | None) -> ir.Route:
    """Return *route* as it is for a body that names *model*: adapters of a pool are kept."""

    def kept(target: ir.Target) -> ir.Target:
        return replace(target, rewrite_to="") if model in target.keep else target

    targets, fallback = (tuple(map(kept, some)) for some in (route.targets, route.fallback))
    return replace(route, targets=targets, fallback=fallback)


def _routed(
    gateway: ir.Gateway, route: ir.Route, scope: str, request: Request, why: tuple[str, ...]
) -> Explanation:
    """Return what becomes of *request*, whose path is the one that servers see."""
    total = sum(target.weight for target in route.targets)
    pools = {pool.name: pool for pool in gateway.pools}
    shares = tuple(_share(target, total, pools[target.pool]) for target in route.targets)
    behind = (replace(target, weight=0) for target in route.fallback)
    fallback = tuple(_share(target, total, pools[target.pool]) for target in behind)
    return Explanation(
        gateway=gateway.name,
        scope=scope,
        why=why,
        status=None,
        base_model=route.base_model,
        upstream_path=request.path,
        shares=shares,
        timeout_s=route.timeout_s,
        fallback=fallback,
        user_pool=(user_pool := _user_pool(route, request)),
        rules=(
            *about_route(route, user_pool),
            *about_priority(route, pools),
            *about_pools([pools[share.pool] for share in (*shares, *fallback)]),
        ),
    )


def _user_pool(route: ir.Route, request: Request) -> str:
    if route.sticky is None or len(route.targets) == 1:
        return ""
    if route.sticky.kind == "client":
        user = request.client
    else:
        user = user_of(route.sticky, request.headers) if request.user is None else request.user
    return "" if user is None else pool_of_user(route.targets, user)


def _share(target: ir.Target, total: int, pool: ir.Pool) -> Share:
    endpoints = tuple(_host_and_port(endpoint) for endpoint in pool.endpoints)
    share = 100 * target.weight / total
    return Share(target.pool, share, target.rewrite_to, endpoints, _key(pool))


def _key(pool: ir.Pool) -> str:
    """Return what of a request decides on its server."""
    if pool.prefix_bytes:
        return f"the first {pool.prefix_bytes} bytes of the prompt"
    if pool.hash_key is None:
        return ""
    if pool.hash_key.kind == "client_ip":
        return "the address of the client"
    return f"{pool.hash_key.kind} {pool.hash_key.name}"


def _host_and_port(endpoint: ir.Endpoint) -> str:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"{host}:{endpoint.port}"


def _answered(
    gateway: ir.Gateway, status: int, why: tuple[str, ...], scope: str = names.NO_MODEL_ROUTES
) -> Explanation:
    return Explanation(
        gateway=gateway.name,
        scope=scope,
        why=why,
        status=status,
        base_model="",
        upstream_path="",
        shares=(),
        timeout_s=0.0,
    )
