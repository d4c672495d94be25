"""What holds for a request on its way to its pools, each rule in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from snapshots.ir import model as ir
from snapshots.ways import about_headers


def about_route(route: ir.Route, user_pool: str) -> Iterator[str]:
    """Yield the rules of *route*; *user_pool* is that of the user, if it is known."""
    if route.sticky and len(route.targets) > 1:
        is_client = route.sticky.kind == "client"
        told_by = "client" if is_client else f"{route.sticky.kind} {route.sticky.name}"
        this = f"this one to {user_pool}" if user_pool else "without it, chance decides"
        yield f"the same {told_by} always leads to the same pool; {this}"
    if route.fallback:
        yield _about_fallback(route)
    if route.mirror:
        copied = f"{route.mirror.percent} % of the requests are copied to pool {route.mirror.pool}"
        yield f"{copied}; nobody waits for the answers to the copies"
    if not route.fallback:
        yield _about(route.retries)
    yield from about_headers("it", route.headers)
    if route.rate_limit:
        yield f"{(route.limited_by or route.name)!r} may get {about_limit(route.rate_limit)}"


def about_limit(limit: ir.RateLimit) -> str:
    """Return what *limit* lets pass."""
    often = f"{limit.per_second} request{'s' if limit.per_second > 1 else ''} a second"
    return f"{often}, {limit.burst} at once, by each Envoy; 429 beyond"


def about_priority(route: ir.Route, pools: Mapping[str, ir.Pool]) -> Iterator[str]:
    """Yield what the priority of *route* means where its *pools* fill up."""
    if route.sheds:
        full = ", ".join(f"{bound.max_requests} at {bound.pool}" for bound in route.bounds)
        yield f"429 `shed` where one Envoy has so many requests in flight: {full}"
    if route.priority == "critical":
        budgets = ((t.pool, pools[t.pool].max_critical_requests) for t in route.targets)
        own = ", ".join(f"{most or 'any number'} at {pool}" for pool, most in budgets)
        yield f"critical requests have a budget of their own in each Envoy: {own}"


def _about_fallback(route: ir.Route) -> str:
    pools = ", then ".join(target.pool for target in route.fallback)
    answers = ", ".join(map(str, route.retries.statuses))
    more = f"; each gets {1 + route.retries.attempts} tries" if route.retries.attempts else ""
    return f"if its pool is down, full, or answers {answers}, it goes on to {pools}{more}"


def _about(retries: ir.Retries) -> str:
    if not retries.attempts:
        return "it is never tried again"
    causes = ["no server saw it"] if retries.on_unreachable else []
    causes += ["its server ended the connection unanswered"] if retries.on_reset else []
    if retries.on_reset and retries.per_try_timeout_s:
        causes.append(f"nothing came within {retries.per_try_timeout_s:g} s")
    if retries.statuses:
        causes.append(f"the answer is {', '.join(map(str, retries.statuses))}")
    times = "once" if retries.attempts == 1 else f"up to {retries.attempts} times"
    return f"it is tried again {times} if {', or '.join(causes)}"
