"""How much goes into one response."""

from __future__ import annotations

from collections.abc import Iterable

from snapshots.snapshot import Resource
from snapshots.type_urls import ENDPOINT, ROUTE, TypeUrl

MAX_RESPONSE_BYTES = 2 * 1024 * 1024
"""Half of what gRPC accepts by default, so that framing and names always fit."""

MAX_REMOVED_NAMES = 10_000

RESOURCES_PER_RESPONSE = {ROUTE: 1, ENDPOINT: 100}
"""One RouteConfiguration per response, so that a refused one harms only itself. Endpoints are
seldom refused and there are many of them. The other types are not bounded by number."""

UNBOUNDED = 1 << 30


def batch(
    type_url: TypeUrl, resources: Iterable[Resource], *, at_least: int = 1
) -> tuple[Resource, ...]:
    """Return the first of *resources* that fit into one response; at least one if there is one.

    *at_least* so many may travel together, whatever the type.
    """
    limit = max(at_least, RESOURCES_PER_RESPONSE.get(type_url, UNBOUNDED))
    chosen: list[Resource] = []
    size = 0
    for resource in resources:
        size += len(resource.body) + len(resource.name)
        if chosen and size > MAX_RESPONSE_BYTES:
            break
        chosen.append(resource)
        if len(chosen) >= limit:
            break
    return tuple(chosen)
