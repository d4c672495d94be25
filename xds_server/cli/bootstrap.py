"""`modelyard bootstrap`: print how an Envoy is to be started."""

from __future__ import annotations

import ipaddress

import click
from typing_extensions import override

from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, Companion, UnixPath, Variant, is_name, render_bootstrap
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.options import option
from xds_server.ext_proc.listen import UnixAddress, parse_listen_address


def _text(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("must not be empty")
    if not value.isprintable():
        raise click.BadParameter(f"{value!r} holds characters that cannot be printed")
    return value


def _reachable(_context: click.Context, _parameter: click.Parameter, value: Address) -> Address:
    if value.port == 0:
        raise click.BadParameter(_unreachable(value))
    return value


def _unreachable(address: Address) -> str:
    return f"nothing can be reached at port 0 of {address.host}"


class _CompanionType(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no argument
    """Turn `unix:/path` or `HOST:PORT` into what a bootstrap takes."""

    name = "companion"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Companion:
        try:
            address = parse_listen_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if isinstance(address, UnixAddress):
            return UnixPath(str(address.path))
        if address.port == 0:
            self.fail(_unreachable(address), param, ctx)
        return address

    @override
    def split_envvar_value(self, rv: str) -> list[str]:
        return rv.replace(",", " ").split()


def _companions(
    _context: click.Context, _parameter: click.Parameter, values: tuple[Companion, ...]
) -> tuple[Companion, ...]:
    if not values:
        raise click.BadParameter("names no companion")
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"{_shown(twice)} is given twice")
    sockets = [value for value in values if isinstance(value, UnixPath)]
    named = [value for value in values if is_name(value)]
    if sockets and named:
        # Envoy resolves the names of a cluster all together, and sockets have none.
        raise click.BadParameter(
            f"{_shown(sockets[0])} and {_shown(named[0])} cannot stand together, as the one is a"
            " socket and the other a name (hint: give an IP address instead of the name)"
        )
    return values


def _shown(companion: Companion) -> str:
    return f"unix:{companion.path}" if isinstance(companion, UnixPath) else str(companion)


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
    "ext_proc",
    type=_CompanionType(),
    multiple=True,
    default=["unix:/run/modelyard/ext-proc.sock"],
    metavar="unix:PATH|HOST:PORT",
    callback=_companions,
    help="Where a companion of this Envoy is; repeatable.",
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
    ext_proc: tuple[Companion, ...],
    admin_address: Address,
    variant: Variant,
) -> None:
    """Print the bootstrap of one Envoy: save it and run `envoy -c FILE`."""
    bootstrap = Bootstrap(node_id, node_cluster, xds_address, ext_proc, admin_address, variant)
    click.echo(render_bootstrap(bootstrap), nl=False)
