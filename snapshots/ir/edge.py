"""What a gateway expects of clients that nobody knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """What clients may take of a gateway, and whom it believes."""

    trusted_hops: int = 0
    """Proxies before these Envoys whose word on where a request came from counts."""
    max_headers: int = 100
    max_headers_bytes: int = 60 * 1024
    """Of all headers and the URL together."""
    drops_underscores: bool = False
    """Whether headers with `_` in their names are taken away; else their requests are refused."""
    request_headers_timeout_s: float = 10.0
    request_timeout_s: float = 300.0
    """For the whole request; 0: none."""
    connection_idle_timeout_s: float = 3600.0
    max_concurrent_streams: int = 100
    """Of one HTTP/2 connection."""


USUAL_EDGE = Edge()
