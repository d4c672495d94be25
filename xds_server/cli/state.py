"""The options of the state directory, and what commands read from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xds_server.cli.options import option

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_HISTORY = 20


def state_dir_option(*, required: bool = False) -> Callable[[F], F]:
    """Return the option `--state-dir`; the command gets it as `state_dir`, None if not given."""
    # With a default, even None, click would not miss it.
    presence: dict[str, Any] = {"required": True} if required else {"default": None}
    return option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        **presence,
        show_default=False,
        help="Directory for what a restart begins with, and for the last good registries."
        if not required
        else "The directory that `modelyard serve` was given.",
    )


state_history_option = option(
    "--state-history",
    type=click.IntRange(min=1),
    default=DEFAULT_HISTORY,
    help="How many good registries are kept in the state directory.",
)
