"""`modelyard serve`: run the control plane."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from xds_server.address import Address
from xds_server.app import PreflightSettings, Ready, Settings, serve_until_signal
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.channel import channel_options
from xds_server.cli.options import log_format_option, option
from xds_server.cli.preflight import preflight_options
from xds_server.cli.state import state_dir_option, state_history_option
from xds_server.cli.status_access import status_access_options
from xds_server.envoy_binary import EnvoyError
from xds_server.garbage import spare_what_lives
from xds_server.guard.channel import ChannelSettings
from xds_server.guard.followed import GuardError
from xds_server.listening import CannotListenError
from xds_server.reload.refused import RefusedError
from xds_server.state.directory import CannotUseStateError
from xds_server.status.door import StatusAccess
from xds_server.status.serving import UnguardedError


@click.command()
@click.argument("registry", type=click.Path(path_type=Path))
@option(
    "--xds-address",
    type=ADDRESS,
    default="127.0.0.1:18000",
    help="Where Envoys ask (gRPC); port 0 takes a free one.",
)
@option(
    "--status-address",
    type=ADDRESS,
    default="127.0.0.1:18001",
    help="Where people and monitoring ask (HTTP); port 0 takes a free one.",
)
@status_access_options
@channel_options
@preflight_options
@state_dir_option()
@state_history_option
@log_format_option
def command(
    registry: Path,
    xds_address: Address,
    status_address: Address,
    status_access: StatusAccess,
    preflight: PreflightSettings | None,
    state_dir: Path | None,
    state_history: int,
    channel: ChannelSettings,
) -> None:
    """Run the control plane on the file REGISTRY, and follow every edit of it.

    Prints one line on stdout when Envoys are served. Ends with exit code 0 on SIGTERM and Ctrl-C,
    and with 1 if the file is refused, or another file, an address or a program cannot be had.
    """
    settings = Settings(
        registry,
        xds_address,
        status_address,
        preflight,
        state_dir,
        state_history,
        channel,
        status_access,
    )
    try:
        asyncio.run(serve_until_signal(settings, announce))
    except UnguardedError as error:
        raise click.UsageError(str(error)) from error
    except (
        RefusedError, CannotListenError, CannotUseStateError, EnvoyError, GuardError
    ) as error:  # fmt: skip
        click.echo(error, err=True)
        sys.exit(1)


def announce(ready: Ready) -> None:
    """Print the line that tells that *ready* is so."""
    spare_what_lives()
    models = "1 model" if ready.models == 1 else f"{ready.models} models"
    click.echo(
        f"modelyard ready: xds {ready.xds_address}, status http://{ready.status_address}, "
        f"revision {ready.revision}, {models}"
    )
    sys.stdout.flush()
