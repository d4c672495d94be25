"""Which gateway of a registry a command talks about."""

from __future__ import annotations

import click

from snapshots.ir.model import Gateway, Intent
from xds_server.cli.options import option

node_cluster_option = option(
    "--node-cluster", default="default", help="The group of Envoys whose view is meant."
)


def gateway_for(intent: Intent, node_cluster: str) -> Gateway:
    """Return the gateway that Envoys of *node_cluster* are given; exit 1 if there is none."""
    by_cluster = {gateway.node_cluster: gateway for gateway in intent.gateways}
    gateway = by_cluster.get(node_cluster) or by_cluster.get("*")
    if gateway is None:
        known = " or ".join(sorted(by_cluster))
        raise click.ClickException(
            f"no gateway has the node_cluster {node_cluster!r} (hint: --node-cluster {known})"
        )
    return gateway
