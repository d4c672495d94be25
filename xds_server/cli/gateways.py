"""Which gateway of a registry a command talks about."""

from __future__ import annotations

import click

from snapshots.ir.model import Gateway, Intent
from xds_server.cli.options import option

node_cluster_option = option(
    "--node-cluster", default="default", help="The group of Envoys whose view is meant."
)
gateway_option = option(
    "--gateway", default=None, help="The gateway that is meant, by its name: not --node-cluster."
)


def gateway_for(intent: Intent, node_cluster: str, name: str | None = None) -> Gateway:
    """Return the gateway *name*, or that of Envoys for which *node_cluster* alone decides.

    Exits with 1 if there is none.
    """
    if name is not None:
        return _named(intent, name)
    by_cluster = {g.nodes.cluster: g for g in intent.gateways if g.nodes.is_by_cluster}
    gateway = by_cluster.get(node_cluster) or by_cluster.get("*")
    if gateway is None:
        known = [f"--node-cluster {cluster}" for cluster in sorted(by_cluster)]
        known += [f"--gateway {g.name}" for g in intent.gateways if not g.nodes.is_by_cluster]
        raise click.ClickException(
            f"no gateway has the node_cluster {node_cluster!r} (hint: {' or '.join(known)})"
        )
    return gateway


def _named(intent: Intent, name: str) -> Gateway:
    for gateway in intent.gateways:
        if gateway.name == name:
            return gateway
    known = " or ".join(f"--gateway {gateway.name}" for gateway in intent.gateways)
    raise click.ClickException(f"no gateway is named {name!r} (hint: {known})")
