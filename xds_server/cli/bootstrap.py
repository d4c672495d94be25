"""`modelyard bootstrap`: print how an Envoy is to be started."""

from __future__ import annotations

import click

from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.options import option

UNIX_SCHEME = "unix:"


def _companion(_context: click.Context, _parameter: click.Parameter, value: str) -> object:
    if value.startswith(UNIX_SCHEME):
        return UnixPath(value.removeprefix(UNIX_SCHEME))
    try:
        return Address.parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, or unix:/path") from error


@click.command()
@option("--node-id", required=True, help="The name of this Envoy, unique in the fleet.")
@option("--node-cluster", default="default", help="The group of Envoys that it belongs to.")
@option(
    "--xds-address", type=ADDRESS, default="127.0.0.1:18000", help="Where the control plane is."
)
@option(
    "--ext-proc-address",
    default="unix:/run/modelyard/ext-proc.sock",
    callback=_companion,
    help="Where this Envoy's companion is: unix:/path or HOST:PORT.",
)
@option("--admin-address", type=ADDRESS, default="127.0.0.1:9901", help="Envoy's admin interface.")
@option(
    "--variant",
    type=click.Choice(["delta", "sotw"]),
    default="delta",
    help="How changes travel: only what changed, or the state of the world.",
)
def command(
    node_id: str,
    node_cluster: str,
    xds_address: Address,
    ext_proc_address: Address | UnixPath,
    admin_address: Address,
    variant: Variant,
) -> None:
    """Print the bootstrap of one Envoy: save it and run `envoy -c FILE`."""
    bootstrap = Bootstrap(
        node_id, node_cluster, xds_address, ext_proc_address, admin_address, variant
    )
    click.echo(render_bootstrap(bootstrap), nl=False)
