"""`modelyard simulate`: run a model server without a model until it is told to stop."""

from __future__ import annotations

import asyncio
import signal

import click

from xds_server.address import Address
from xds_server.cli.addresses import ADDRESS
from xds_server.cli.durations import duration
from xds_server.cli.options import log_format_option, option
from xds_server.simulate.server import SimulatedServer, running
from xds_server.simulate.settings import SettingsError, SimulateSettings


@click.command(
    "simulate",
    epilog="While it runs, POST /simulate/settings changes latency_s, token_latency_s, tokens, "
    "fail_rate, fail_status, healthy and health_latency_s; GET /simulate/requests counts requests.",
)
@option("--model", required=True, metavar="NAME", help="Model that the server says it serves.")
@option("--adapter", multiple=True, metavar="NAME", help="LoRA adapter on it; repeatable.")
@option("--name", metavar="SERVER", help="What the server calls itself.  [default: the model]")
@option("--address", type=ADDRESS, default="127.0.0.1:8000", help="Port 0 takes any free one.")
@option("--strict-model", is_flag=True, help="Answer 404 to any other model name, as vLLM does.")
@option("--latency", type=duration, default="0s", help="Time before the first byte.")
@option("--token-latency", type=duration, default="0s", help="Time before each word.")
@option("--tokens", type=click.IntRange(1, 100_000), help="Words of every answer.")
@option("--fail-rate", type=click.FloatRange(0, 1), default=0.0, help="Share of failed answers.")
@option("--fail-status", type=click.IntRange(400, 599), default=503, help="Status of failures.")
@option("--health-latency", type=duration, default="0s", help="Time before /health answers.")
@option("--unhealthy", is_flag=True, help="Answer 503 to GET /health.")
@log_format_option
def command(
    *,
    model: str,
    adapter: tuple[str, ...],
    name: str | None,
    address: Address,
    strict_model: bool,
    latency: float,
    token_latency: float,
    tokens: int | None,
    fail_rate: float,
    fail_status: int,
    health_latency: float,
    unhealthy: bool,
) -> None:
    """Run an OpenAI-compatible model server without a model, for demos and tests.

    It answers chat, completions and embeddings, streamed or not, and every answer says which
    server gave it and which model name, body and routing headers it saw.
    """
    knobs = {
        "latency_s": latency,
        "token_latency_s": token_latency,
        "tokens": tokens,
        "fail_rate": fail_rate,
        "fail_status": fail_status,
        "healthy": not unhealthy,
        "health_latency_s": health_latency,
    }
    try:
        settings = SimulateSettings().changed(knobs)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    server = SimulatedServer(
        model=model, name=name, adapters=adapter, strict_model=strict_model, settings=settings
    )
    try:
        asyncio.run(_serve(server, address))
    except OSError as error:
        raise click.ClickException(f"cannot listen on {address}: {error.strerror}") from error


async def _serve(server: SimulatedServer, address: Address) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with running(server, host=address.host, port=address.port):
        click.echo(f"simulate {server.name} ready on {server.url}")
        await stopped.wait()
