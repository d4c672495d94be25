"""The options by which `modelyard serve` guards the status interface."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from xds_server.cli.options import option
from xds_server.status.door import StatusAccess


class HostNameType(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no argument
    """Take the name of a host, without scheme and port."""

    name = "name"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)*\.?", text, re.ASCII):
            self.fail(f"{text!r} is not the name of a host, such as status.example", param, ctx)
        return text.lower().removesuffix(".")

    @override
    def split_envvar_value(self, rv: str) -> list[str]:
        return rv.replace(",", " ").split()


_OPTIONS = (
    option(
        "--status-host",
        type=HostNameType(),
        multiple=True,
        metavar="NAME",
        help="A name by which --status-address may be asked, beside localhost and its IP"
        " addresses; repeatable.",
    ),
    option(
        "--status-open",
        is_flag=True,
        help="Take a --status-address that is not loopback without a token: something else"
        " keeps strangers away.",
    ),
    option(
        "--status-token-file",
        type=click.Path(path_type=Path),
        default=None,
        metavar="FILE",
        help="Demand of everybody who asks at --status-address a token that is a line of"
        " this file; followed. Needed where the address is not loopback.",
    ),
)


def status_access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to *command*, which gets `status_access: StatusAccess`."""

    @wraps(command)
    def with_access(
        status_token_file: Path | None,
        status_open: bool,
        status_host: tuple[str, ...],
        **others: object,
    ) -> object:
        if status_open and status_token_file:
            raise click.UsageError("--status-open and --status-token-file contradict each other")
        access = StatusAccess(status_token_file, status_open, status_host)
        return command(status_access=access, **others)

    for add in _OPTIONS:
        with_access = add(with_access)
    return with_access
