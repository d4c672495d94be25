"""`modelyard bootstrap`: print how an Envoy is to be started."""

from __future__ import annotations

import ipaddress
from typing import Final

import click
from typing_extensions import override

from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, Companion, UnixPath, Variant, is_name, render_bootstrap
from xds_server.bootstrap_channel import XdsCredentials
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.options import option
from xds_server.cli.sizes import size
from xds_server.cli.xds_credentials import xds_credentials_options
from xds_server.ext_proc.listen import UnixAddress, parse_listen_address
from xds_server.overload import OWN_FILES, connections_within, open_files_here

MIN_HEAP_BYTES: Final = 128 * 2**20
MAX_UINT32: Final = 2**32 - 1


def _text(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value.strip():
        raise click.BadParameter("must not be empty")
    if not value.isprintable():
        raise click.BadParameter(f"{value!r} holds characters that cannot be printed")
    return value


def _control_planes(
    _context: click.Context, _parameter: click.Parameter, values: tuple[Address, ...]
) -> tuple[Address, ...]:
    if not values:
        raise click.BadParameter("names no control plane")
    nowhere = next((value for value in values if value.port == 0), None)
    if nowhere:
        raise click.BadParameter(_unreachable(nowhere))
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice:
        raise click.BadParameter(f"{twice} is given twice")
    return values


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


class _AdminType(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no argument
    """Turn `unix:/path` or `IP:PORT` into where the admin interface listens."""

    name = "admin"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address | UnixPath:
        try:
            address = parse_listen_address(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if isinstance(address, UnixAddress):
            return UnixPath(str(address.path))
        if _ip(address.host) is None:
            self.fail(
                f"{address.host!r} is a name, but Envoy listens on IP addresses only:"
                " 127.0.0.1, [::1]",
                param,
                ctx,
            )
        return address


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_exposure(admin: Address | UnixPath, *, is_meant: bool) -> None:
    """Refuse an *admin* interface that other machines reach, unless that is meant."""
    if isinstance(admin, UnixPath) or is_meant:
        return
    address = _ip(admin.host)
    if address is None or not address.is_loopback:
        raise click.BadParameter(
            f"{admin.host} can be reached from other machines, and whoever reaches the admin"
            " interface can stop this Envoy and read its configuration (hint: 127.0.0.1:9901, or"
            " add --expose-admin)",
            param_hint="'--admin-address'",
        )


def _heap(_context: click.Context, _parameter: click.Parameter, value: int) -> int:
    if value < MIN_HEAP_BYTES:
        raise click.BadParameter("Envoy needs 128MiB at least")
    return value


def _connections(wanted: int | None, open_files: int) -> int:
    """Return how many connections to allow; who wants more than the files allow is warned."""
    within = connections_within(open_files)
    if wanted is not None and wanted > max(within, (open_files - OWN_FILES) // 2):
        click.echo(
            f"warning: {wanted} connections may need twice as many open files, and {open_files} are"
            " allowed here; an Envoy that runs out of them crashes",
            err=True,
        )
    return wanted or within


def _metadata(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{value!r} is not KEY=VALUE")
        if key in metadata:
            raise click.BadParameter(f"{key!r} is there twice")
        metadata[key] = text
    return metadata


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
    "--node-metadata",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_metadata,
    help="What else is known of it, for gateways that go by that; repeatable.",
)
@option(
    "--xds-address",
    "xds",
    type=ADDRESS,
    multiple=True,
    default=["127.0.0.1:18000"],
    callback=_control_planes,
    help="Where a control plane is; repeatable: Envoy takes another when one fails.",
)
@xds_credentials_options
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
    "admin",
    type=_AdminType(),
    default="127.0.0.1:9901",
    metavar="unix:PATH|IP:PORT",
    help="Where Envoy's admin interface listens; port 0 takes a free one.",
)
@option(
    "--expose-admin",
    is_flag=True,
    help="Let --admin-address be one that other machines reach.",
)
@option(
    "--max-heap",
    type=size,
    default="2GiB",
    callback=_heap,
    metavar="SIZE",
    help="Memory of this Envoy; near it, Envoy refuses work instead of dying.",
)
@option(
    "--max-connections",
    type=click.IntRange(min=1, max=MAX_UINT32),
    show_default="50000, or as many as --open-files allow",
    help="Connections of clients at a time; more are closed at once.",
)
@option(
    "--open-files",
    type=click.IntRange(min=1),
    default=open_files_here,
    show_default="as many as here",
    help="Files that this Envoy may have open: its hard limit of RLIMIT_NOFILE.",
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
    node_metadata: dict[str, str],
    xds: tuple[Address, ...],
    ext_proc: tuple[Companion, ...],
    admin: Address | UnixPath,
    expose_admin: bool,
    max_heap: int,
    max_connections: int | None,
    open_files: int,
    variant: Variant,
    channel: XdsCredentials,
) -> None:
    """Print the bootstrap of one Envoy: save it and run `envoy -c FILE`."""
    _check_exposure(admin, is_meant=expose_admin)
    bootstrap = Bootstrap(
        node_id=node_id,
        node_cluster=node_cluster,
        node_metadata=node_metadata,
        channel=channel,
        xds=xds,
        ext_proc=ext_proc,
        admin=admin,
        variant=variant,
        max_heap_bytes=max_heap,
        max_connections=_connections(max_connections, open_files),
    )
    click.echo(render_bootstrap(bootstrap), nl=False)
