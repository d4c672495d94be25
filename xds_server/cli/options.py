"""Options that several commands share; every option also comes from `MODELYARD_<OPTION>`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from xds_server.telemetry import configure_logging

F = TypeVar("F", bound=Callable[..., Any])


def option(name: str, *aliases: str, **attributes: Any) -> Callable[[F], F]:  # noqa: ANN401 - click's own
    """Return click's option *name* which can also be set by `MODELYARD_<NAME>`."""
    variable = "MODELYARD_" + name.removeprefix("--").split("/")[0].replace("-", "_").upper()
    attributes.setdefault("show_default", True)
    return click.option(name, *aliases, envvar=variable, show_envvar=False, **attributes)


def log_format_option(command: F) -> F:
    """Add `--log-format`, and set logging up as it says before *command* runs."""

    def configure(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
        configure_logging("json" if value == "json" else "text")
        return value

    return option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        expose_value=False,
        callback=configure,
        help="How log lines on stderr are written.",
    )(command)
