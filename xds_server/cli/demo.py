"""`modelyard demo`: run everything on this machine and show it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path

import click

from xds_server.address import Address
from xds_server.cli.options import option
from xds_server.demo.show import (
    DemoFailedError,
    command_to_type,
    running_scene,
    say_what_to_try,
    show,
)
from xds_server.demo.stack import LOOPBACK, free_address
from xds_server.envoy_binary import EnvoyError, find_envoy
from xds_server.ext_proc.listen import ListenError
from xds_server.listening import CannotListenError, check_free
from xds_server.telemetry import configure_logging


@click.command()
@option("--keep", is_flag=True, help="Go on until Ctrl-C, to try things by hand.")
@option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where Envoy takes requests on 127.0.0.1; 0 takes a free port.",
)
def command(keep: bool, port: int) -> None:
    """Run everything on this machine, with a real Envoy, and show it.

    Sends requests for several models, shows a weighted split, and moves live traffic by editing
    the registry file. Needs no network, Docker or GPU.
    """
    configure_logging("text", level=logging.ERROR)
    try:
        asyncio.run(_demo(keep, port))
    except asyncio.CancelledError:
        click.echo("stopped")
    except (EnvoyError, DemoFailedError, CannotListenError, ListenError) as error:
        click.echo(error, err=True)
        sys.exit(1)


async def _demo(keep: bool, port: int) -> None:
    _stop_in_order_on_signals()
    find_envoy()  # before anything is started in vain
    gateway = Address(LOOPBACK, port) if port else free_address()
    check_free("--port", gateway)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        async with running_scene(Path(folder), gateway, click.echo) as stack:
            await show(stack, click.echo)
            if keep:
                say_what_to_try(stack, click.echo)
                await asyncio.Event().wait()
    click.echo("")
    click.echo(f"That was all. To try it by hand: {command_to_type()} demo --keep")


def _stop_in_order_on_signals() -> None:
    """Have SIGINT and SIGTERM end the current task, which then stops Envoy and cleans up."""
    if task := asyncio.current_task():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
