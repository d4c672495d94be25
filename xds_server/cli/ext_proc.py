"""`modelyard ext-proc`: run the companion of one Envoy until it is told to stop."""

from __future__ import annotations

import click

from xds_server.address import Address
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.durations import duration
from xds_server.cli.options import log_format_option, option
from xds_server.cli.sizes import size
from xds_server.ext_proc.listen import ListenError, UnixAddress, parse_listen_address
from xds_server.ext_proc.process import ForcedError, run_companion, run_workers
from xds_server.ext_proc.server import CompanionOptions

# A gRPC message is shorter than 2 GiB, and a body has an envelope around it.
MAX_MAX_BODY_BYTES = 1024**3


def _listen_address(
    _context: click.Context, _parameter: click.Parameter, text: str
) -> UnixAddress | Address:
    try:
        return parse_listen_address(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _max_body(_context: click.Context, _parameter: click.Parameter, value: int) -> int:
    if not 0 < value <= MAX_MAX_BODY_BYTES:
        raise click.BadParameter("it must be from 1 byte to 1GiB")
    return value


@click.command("ext-proc")
@option(
    "--address",
    default="unix:/run/modelyard/ext-proc.sock",
    metavar="unix:PATH|HOST:PORT",
    callback=_listen_address,
    help="Where Envoy finds it. Port 0 takes any free one.",
)
@option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    help="Processes that read bodies; above 1, a parent spreads Envoy's connections over them.",
)
@option(
    "--metrics-address",
    type=ADDRESS,
    help="Serve /metrics, /healthz and /readyz there.  [default: not at all]",
)
@option(
    "--max-body",
    type=size,
    default="64MiB",
    callback=_max_body,
    help="Longest body taken; keep it above the registry's extraction.max_body.",
)
@option(
    "--drain-time",
    type=duration,
    default="2s",
    help="At a stop, wait as long for Envoys that check its health to go elsewhere first.",
)
@option(
    "--take-over",
    is_flag=True,
    help="Take the Unix socket of a companion that runs; then stop that one.",
)
@log_format_option
def command(
    *,
    address: UnixAddress | Address,
    workers: int,
    metrics_address: Address | None,
    max_body: int,
    drain_time: float,
    take_over: bool,
) -> None:
    """Run the companion that reads the model name from request bodies for one Envoy.

    It knows no registry and keeps no state: start it beside Envoy, on the address that the
    bootstrap names.
    """
    if take_over and not isinstance(address, UnixAddress):
        raise click.UsageError(
            "--take-over needs a Unix socket: a port cannot pass to another process without a gap"
        )
    options = CompanionOptions(
        max_body_bytes=max_body,
        drain_s=drain_time,
        metrics_address=metrics_address,
        take_over=take_over,
    )
    try:
        if workers == 1:
            run_companion(str(address), _ready, options)
        else:
            run_workers(workers, str(address), _ready, options)
    except (ListenError, ForcedError) as error:
        raise click.ClickException(str(error)) from error


def _ready(address: str) -> None:
    click.echo(f"ext-proc ready on {address}")
