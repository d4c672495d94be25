"""Every secret that the Envoys of a gateway ask for."""

from __future__ import annotations

from collections.abc import Iterator

from snapshots.ir import model as ir
from snapshots.ir.secrets import Secret


def secrets_of(gateway: ir.Gateway) -> tuple[Secret, ...]:
    """Return the secrets that the listener and the pools of *gateway* name, each once."""
    return tuple({secret.name: secret for secret in _named(gateway)}.values())


def _named(gateway: ir.Gateway) -> Iterator[Secret]:
    if gateway.tls:
        yield gateway.tls.certificate
        if gateway.tls.client_authorities:
            yield gateway.tls.client_authorities
    for pool in (*gateway.pools, *gateway.shadows):
        if pool.tls:
            yield pool.tls.authorities
            if pool.tls.certificate:
                yield pool.tls.certificate
        if pool.credential:
            yield pool.credential.secret
