"""`modelyard render`: print what Envoy is told."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from snapshots.build import SnapshotBuilder
from snapshots.ir.translate import translate
from snapshots.registry.mentions import placeholders
from snapshots.render import render
from xds_server.cli.gateways import gateway_for, gateway_option, node_cluster_option
from xds_server.cli.registry_file import read_registry, registry_argument


@click.command()
@registry_argument
@node_cluster_option
@gateway_option
def command(registry: Path, node_cluster: str, gateway: str | None) -> None:
    """Print the Envoy resources that the file REGISTRY gives, as YAML.

    What it refers to is not read: secrets are left out, and files are told by their names.
    """
    loaded = read_registry(registry)
    meant = gateway_for(translate(loaded), node_cluster, gateway)
    snapshot = SnapshotBuilder().build(loaded, placeholders(loaded))
    node = snapshot.nodes[meant.nodes.key]
    click.echo(yaml.safe_dump(render(node), sort_keys=False, allow_unicode=True), nl=False)
