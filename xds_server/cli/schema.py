"""`modelyard schema`: what editors need to complete and check a registry file."""

from __future__ import annotations

import json

import click

from snapshots.registry.json_schema import json_schema


@click.command()
def command() -> None:
    """Print the JSON Schema of the registry file.

    Save it as registry.schema.json beside the registry, and begin the registry with
    `# yaml-language-server: $schema=registry.schema.json`.
    """
    click.echo(json.dumps(json_schema(), indent=2))
