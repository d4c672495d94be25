"""The intermediate representation: what the registry means, with nothing left to resolve.

Frozen, hashable and ordered, so that equal parts are built once. Knows neither YAML nor Envoy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from snapshots.ir import names
from snapshots.ir.edge import USUAL_EDGE, Edge
from snapshots.ir.headers import NO_CHANGES, Headers
from snapshots.ir.pools import (
    NO_RULES,
    Endpoint,
    HashKey,
    HeaderRules,
    HealthCheck,
    LoadBalancing,
    OutlierDetection,
    Pool,
    Target,
)
from snapshots.ir.secrets import ListenerTls
from snapshots.node_selector import NodeSelector

__all__ = [
    "NO_RULES",
    "Bounds",
    "Client",
    "Endpoint",
    "Extraction",
    "Gateway",
    "HashKey",
    "HeaderRules",
    "HealthCheck",
    "Intent",
    "LoadBalancing",
    "Mirror",
    "OutlierDetection",
    "PathRoute",
    "Pool",
    "Priority",
    "RateLimit",
    "Restriction",
    "Retries",
    "Route",
    "Sticky",
    "Target",
]

Priority = Literal["critical", "standard", "sheddable"]


@dataclass(frozen=True, slots=True)
class Sticky:
    """What tells users apart."""

    kind: Literal["header", "cookie", "client"]
    name: str
    """Of the header or cookie; for clients, of the header that names them."""


@dataclass(frozen=True, slots=True)
class Retries:
    """When a request is tried again, before the first byte of an answer."""

    attempts: int = 2
    """Tries after the first one, in each pool of a chain of fallbacks; 0: none."""
    on_unreachable: bool = True
    """No server saw the request."""
    on_reset: bool = False
    """A server ended the connection, or the try took too long."""
    statuses: tuple[int, ...] = ()
    per_try_timeout_s: float = 0.0
    """Until the first byte; 0: none."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a pool is full for a route that looks at that first, in one Envoy."""

    pool: str
    max_requests: int | None
    """None: no bound. Likewise `max_pending`."""
    max_pending: int | None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A pool that gets copies of requests."""

    pool: str
    percent: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests each Envoy lets pass."""

    per_second: int
    burst: int
    """At once, after a pause."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who may use a gateway."""

    name: str
    key_sha256: str
    """Of the key, in hexadecimal digits; without the key's material, what the registry says of it,
    which is the digest of no key."""
    models: tuple[str, ...] | None = None
    """The models and adapters that it may use, sorted; None: everything."""
    rate_limit: RateLimit | None = None
    """For all that it asks for; None: no limit."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """Which clients may use something that not all of them may: whichever list is shorter."""

    clients: tuple[str, ...]
    """Sorted."""
    are_allowed: bool
    """Whether only these may, or all but these."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests for one routable name go."""

    name: str
    """The model, alias or adapter that clients write, or a wildcard: how it begins and `*`."""
    base_model: str
    targets: tuple[Target, ...]
    timeout_s: float
    """Whole request; 0: none."""
    idle_timeout_s: float
    """Between bytes of a stream; 0: none."""
    origin: tuple[str, ...]
    """The registry entry that declares the name."""
    sticky: Sticky | None = None
    """None: each request gets a pool by chance."""
    retries: Retries = Retries()
    mirror: Mirror | None = None
    restriction: Restriction | None = None
    """None: every client may use it."""
    rate_limit: RateLimit | None = None
    """None: no limit."""
    limited_by: str = ""
    """The name of the route whose limit this one shares, as an alias does; empty: its own."""
    fallback: tuple[Target, ...] = ()
    """Where a request goes on, in order, when the pool that it was given to fails."""
    bounds: tuple[Bounds, ...] = ()
    """Of those pools that may be full and have another behind them, or shed requests."""
    priority: Priority = "standard"
    headers: Headers = NO_CHANGES

    @property
    def sheds(self) -> bool:
        """Whether requests are refused that find no room in any pool that may take them."""
        return self.priority == "sheddable" and bool(self.bounds)

    @property
    def knows_first_pool(self) -> bool:
        """Whether the pool of a split is chosen first, and then what stands behind that one."""
        goes_on = bool(self.fallback) and bool(self.sticky or self.bounds)
        return len(self.targets) > 1 and (goes_on or self.sheds)

    @property
    def is_wildcard(self) -> bool:
        """Whether the name stands for all that begin like it and have no route of their own."""
        return names.is_wildcard(self.name)


@dataclass(frozen=True, slots=True)
class PathRoute:
    """A path prefix that selects a route whatever the body says."""

    prefix: str
    replacement: str
    """What stands for the prefix upstream: its leading API version segment, or nothing."""
    route: Route


@dataclass(frozen=True, slots=True)
class Extraction:
    """How the model name gets from the body into the header."""

    mode: Literal["ext_proc", "native"]
    on_failure: Literal["native", "reject"]
    max_body_bytes: int


@dataclass(frozen=True)
class Gateway:
    """What one group of Envoys listens on, and everything it routes."""

    name: str
    nodes: NodeSelector
    """Which Envoys get it."""
    host: str
    port: int
    response_headers: bool
    extraction: Extraction
    routes: tuple[Route, ...]
    """One for each routable name, sorted by name."""
    path_routes: tuple[PathRoute, ...]
    """Longest prefix first."""
    pools: tuple[Pool, ...]
    """Those that the routes refer to, sorted by name."""
    shadows: tuple[Pool, ...] = ()
    """The pools that get copies of requests, as they take those; sorted by name."""
    tls: ListenerTls | None = None
    """None: in clear."""
    default_model: str = ""
    """The name of the route of requests whose body names none; empty: they are refused."""
    clients: tuple[Client, ...] = ()
    """Sorted by name; none: anybody may use the gateway."""
    access_log: str = ""
    """`stdout` or the path of a file; empty: nothing is logged."""
    edge: Edge = USUAL_EDGE

    @cached_property
    def prefix_bytes(self) -> int:
        """How many bytes of the front of a prompt some pool wants hashed; 0: none does."""
        pools = (*self.pools, *self.shadows)
        return max((pool.prefix_bytes for pool in pools), default=0)

    @cached_property
    def knows_first_pools(self) -> bool:
        """Whether some route has to know which pool of its split was chosen."""
        return any(route.knows_first_pool for route in self.routes)

    @cached_property
    def has_bounds(self) -> bool:
        """Whether some route goes by which pools of a chain have room."""
        return any(route.bounds and route.fallback for route in self.routes)

    @cached_property
    def sheds(self) -> bool:
        """Whether some route sheds requests."""
        return any(route.sheds for route in self.routes)

    @cached_property
    def has_wildcards(self) -> bool:
        """Whether some route is a wildcard."""
        return any(route.is_wildcard for route in self.routes)

    @cached_property
    def limits_clients(self) -> bool:
        """Whether some client may send only so many requests."""
        return any(client.rate_limit for client in self.clients)

    @cached_property
    def limits_models(self) -> bool:
        """Whether some model may get only so many requests."""
        return any(route.rate_limit for route in self.routes)


@dataclass(frozen=True, slots=True)
class Intent:
    """The whole registry, resolved."""

    gateways: tuple[Gateway, ...]
