"""Pools, as the intermediate representation has them: servers, and how they are reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from snapshots.ir.headers import NO_CHANGES, NO_MOUNT, Headers, Mount
from snapshots.ir.secrets import Credential, UpstreamTls

LoadBalancing = Literal["least_request", "round_robin", "random", "maglev", "ring_hash"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model server."""

    host: str
    port: int
    weight: int
    zone: str


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How a pool's servers are probed: `GET path` must answer *status*."""

    path: str
    interval_s: float
    timeout_s: float
    unhealthy_after: int = 2
    """Checks in a row. Likewise `healthy_after`."""
    healthy_after: int = 1
    status: int = 200


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When a server is left alone for a time because of what became of requests."""

    consecutive_errors: int = 3
    """Requests in a row that found it out of reach."""
    consecutive_5xx: int = 0
    """Answers in a row; 0: what it answers does not count."""
    interval_s: float = 1.0
    eject_for_s: float = 5.0
    max_ejected_percent: int = 99


@dataclass(frozen=True, slots=True)
class HashKey:
    """By what the server of a request is chosen."""

    kind: Literal["header", "cookie", "client_ip"]
    name: str = ""
    """Of the header or cookie."""


@dataclass(frozen=True, slots=True, order=True)
class HeaderRules:
    """Which request headers a pool has a say in."""

    own: tuple[str, ...] = ()
    """Those that it sets for itself; sorted, in lower case. Likewise `foreign`."""
    foreign: tuple[str, ...] = ()
    """Those that other pools of its models set for themselves, so that it drops them."""


NO_RULES: Final = HeaderRules()


@dataclass(frozen=True, slots=True)
class Pool:
    """Interchangeable servers; one cluster."""

    name: str
    endpoints: tuple[Endpoint, ...]
    by_dns: bool
    """Whether an endpoint is a DNS name: then Envoy resolves it, and the endpoints do not
    travel by EDS, which carries addresses only."""
    health_check: HealthCheck | None
    """None: no probing."""
    load_balancing: LoadBalancing
    rewrites: bool
    """Whether some request to this pool gets another `model` in its body."""
    max_requests: int | None = None
    """At a time, from each Envoy; None: no bound. Likewise `max_pending`."""
    max_pending: int | None = None
    """Requests that wait for a connection."""
    connect_timeout_s: float = 5.0
    shadow: Target | None = None
    """How copies of requests are rewritten, if this is the pool as it takes those; one more cluster
    then, so that nothing of the copies touches the requests."""
    prefix_bytes: int = 0
    """How many bytes of the front of a prompt decide on its server; 0: it does not matter."""
    hash_key: HashKey | None = None
    """None: unless bytes of a prompt decide, nothing of the pool's own is hashed."""
    overload_percent: int = 150
    """Of the average load: a server with more passes on what its key would give it."""
    choices: int = 2
    """How many servers `least_request` compares."""
    outlier_detection: OutlierDetection | None = OutlierDetection()
    """None: servers are never left alone for what became of requests."""
    http2: bool = False
    """Whether the servers are spoken to in HTTP/2, not HTTP/1.1."""
    tls: UpstreamTls | None = None
    """None: in clear."""
    falls_back: bool = False
    """Whether requests of some model go on to another pool where this one fails."""
    always_falls_back: bool = False
    """Whether all requests do, so that routes see to its bounds."""
    takes_critical: bool = False
    """Whether some requests are critical: they have a budget of their own."""
    max_critical_requests: int | None = None
    credential: Credential | None = None
    """None: its servers are shown what the client sent."""
    header_rules: HeaderRules = NO_RULES
    headers: Headers = NO_CHANGES
    mount: Mount = NO_MOUNT


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One pool of a route, with its share."""

    pool: str
    weight: int
    """Not looked at where the pool is a fallback."""
    rewrite_to: str
    """The `model` that the servers expect; empty: the body stays as it is."""
    keep: tuple[str, ...]
    """Names that are not rewritten although `rewrite_to` is set: the pool's adapters."""
    header_rules: HeaderRules = NO_RULES
    """Of the pool."""
