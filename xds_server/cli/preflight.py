"""The options by which `modelyard serve` asks Envoy before it publishes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from xds_server.app import PreflightSettings
from xds_server.cli.durations import duration
from xds_server.cli.options import option


def preflight_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to *command*, which gets `preflight: PreflightSettings | None`."""

    @wraps(command)
    def with_settings(
        preflight: bool, envoy_path: Path | None, preflight_timeout: float, **others: object
    ) -> object:
        settings = PreflightSettings(envoy_path, preflight_timeout) if preflight else None
        return command(preflight=settings, **others)

    for add in (
        option(
            "--preflight-timeout",
            type=duration,
            default="30s",
            metavar="DURATION",
            help="With --preflight: what takes Envoy longer is refused.",
        ),
        option(
            "--envoy-path",
            type=click.Path(path_type=Path),
            default=None,
            help="With --preflight: the Envoy to ask; without it the one on the PATH.",
        ),
        option(
            "--preflight",
            is_flag=True,
            help="Publish only what a real Envoy takes: `envoy --mode validate` judges first.",
        ),
    ):
        with_settings = add(with_settings)
    return with_settings
