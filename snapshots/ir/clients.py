"""Who may use what: the clients of a registry, and which names are not for all of them."""

from __future__ import annotations

from bisect import bisect_left

from snapshots.ir import model as ir
from snapshots.registry import schema
from snapshots.registry.client_keys import KeyDigests, place_of_key


def translate_clients(registry: schema.Registry, digests: KeyDigests) -> tuple[ir.Client, ...]:
    """Return the clients of *registry*, sorted by name, with the *digests* of their keys."""
    return tuple(
        ir.Client(
            name=name,
            key_sha256=client.key_sha256 or digests.get(name) or place_of_key(client),
            models=None if client.models == "*" else tuple(sorted(client.models)),
            rate_limit=translate_rate_limit(client.rate_limit),
        )
        for name, client in sorted((registry.auth.clients or {}).items())
    )


def translate_rate_limit(limit: schema.RateLimit | None) -> ir.RateLimit | None:
    """Return what *limit* means."""
    if limit is None:
        return None
    return ir.RateLimit(limit.requests_per_second, limit.burst or limit.requests_per_second)


class Restrictions:
    """Which of a registry's clients may use which model or adapter."""

    def __init__(self, registry: schema.Registry) -> None:
        clients = registry.auth.clients or {}
        self._all = sorted(clients)
        self._unlimited = {name for name, client in clients.items() if client.models == "*"}
        self._admitted: dict[str, set[str]] = {}
        for name, client in clients.items():
            for model in () if client.models == "*" else client.models:
                self._admitted.setdefault(model, set()).add(name)

    def of(self, name: str) -> ir.Restriction | None:
        """Return who may use the model or adapter *name*; None if all clients may."""
        if len(self._unlimited) == len(self._all):
            return None
        allowed = self._unlimited | self._admitted.get(name, set())
        if len(allowed) * 2 <= len(self._all):
            return ir.Restriction(tuple(sorted(allowed)), are_allowed=True)
        refused = tuple(client for client in self._all if client not in allowed)
        return ir.Restriction(refused, are_allowed=False) if refused else None


def is_allowed(client: str, restriction: ir.Restriction | None) -> bool:
    """Tell whether *client* may use what has this *restriction*."""
    if restriction is None:
        return True
    at = bisect_left(restriction.clients, client)
    is_listed = client in restriction.clients[at : at + 1]
    return is_listed == restriction.are_allowed
