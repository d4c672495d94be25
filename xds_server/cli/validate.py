"""`modelyard validate`: tell whether a file is a registry that can be served."""

from __future__ import annotations

from pathlib import Path

import click

from snapshots.registry.schema import Registry
from xds_server.cli.options import option
from xds_server.cli.registry_file import read_registry, registry_argument


@click.command()
@registry_argument
@option(
    "--secrets/--no-secrets",
    default=True,
    help="Whether the files and variables that it refers to must be there and fit.",
)
def command(registry: Path, secrets: bool) -> None:
    """Check the file REGISTRY and print every error in it.

    Certificates must be readable, fit their keys and not have expired.

    Exits with 0 if it can be served, and with 1 if not; then each line on stderr is one error,
    as file:line:column: entry: what is wrong (hint: what to do).
    """
    click.echo(f"{registry}: {summary(read_registry(registry, secrets=secrets))}: ok")


def summary(registry: Registry) -> str:
    """Return how much *registry* holds, in one line."""
    counts = {
        "model": len(registry.models),
        "alias": sum(len(model.aliases) for model in registry.models.values()),
        "adapter": sum(len(pool.adapters) for pool in registry.pools.values()),
        "pool": len(registry.pools),
        "endpoint": sum(len(pool.endpoints) + bool(pool.url) for pool in registry.pools.values()),
        "gateway": len(registry.gateways),
    }
    return ", ".join(_counted(number, noun) for noun, number in counts.items())


def _counted(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number} {noun if number == 1 else plural}"
