"""`modelyard bootstrap`: print how an Envoy is to be started."""

from __future__ import annotations

import ipaddress

import click

from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, Variant, render_bootstrap
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.options import option
from xds_server.ext_proc.listen import UnixAddress, parse_listen_address


def _text(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("must not be empty")
    if not value.isprintable():
        raise click.BadParameter(f"{value!r} holds characters that cannot be printed")
    return value


def _reachable(
    _context: click.Context, _parameter: click.Parameter, value: Address | UnixAddress
) -> Address | UnixAddress:
    if isinstance(value, Address) and value.port == 0:
        raise click.BadParameter(f"nothing can be reached at port 0 of {value.host}")
    return value


def _companion(context: click.Context, parameter: click.Parameter, value: str) -> object:
    try:
        address = parse_listen_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if isinstance(address, UnixAddress):
        return UnixPath(str(address.path))
    return _reachable(context, parameter, address)


def _on_this_machine(
    _context: click.Context, _parameter: click.Parameter, value: Address
) -> Address:
    try:
        ipaddress.ip_address(value.host)
    except ValueError:
        raise click.BadParameter(
            f"{value.host!r} is a name, but Envoy listens on IP addresses only: 127.0.0.1, [::1]"
        ) from None
    return value


@click.command()
@option(
    "--node-id",
    required=True,
    callback=_text,
    help="The name of this Envoy, unique in the fleet.",
)
@option(
    "--node-cluster",
    default="default",
    callback=_text,
    help="The group of Envoys that it belongs to.",
)
@option(
    "--xds-address",
    type=ADDRESS,
    default="127.0.0.1:18000",
    callback=_reachable,
    help="Where the control plane is.",
)
@option(
    "--ext-proc-address",
    default="unix:/run/modelyard/ext-proc.sock",
    callback=_companion,
    help="Where this Envoy's companion is: unix:/path or HOST:PORT.",
)
@option(
    "--admin-address",
    type=ADDRESS,
    default="127.0.0.1:9901",
    callback=_on_this_machine,
    help="Where Envoy's admin interface listens; port 0 takes a free one.",
)
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
