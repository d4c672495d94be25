"""Asking a running control plane, so that one that does not answer is an answer of the command."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import aiohttp
import click
from click.core import ParameterSource

from snapshots.registry.loader import RegistryError, load_registry
from snapshots.registry.schema import Registry
from xds_server.cli.options import option

TIMEOUT_S = 30.0
OK = 200

status_url_option = option(
    "--status-url",
    default=None,
    metavar="URL",
    help="Status address of a control plane that runs, such as http://127.0.0.1:18001.",
)

known_status_url_option = option(
    "--status-url",
    default="http://127.0.0.1:18001",
    metavar="URL",
    help="Status address of the control plane.",
)


class NoAnswerError(click.ClickException):
    """Nothing answers at a status address."""


def served_registry(status_url: str) -> tuple[str, Registry]:
    """Return the revision and the registry that the control plane at *status_url* serves.

    Keys of clients are not in it: see `public_form`. Raises `click.ClickException`.
    """
    answer = ask(status_url, "/registry")
    try:
        text = json.dumps(answer["registry"]).encode()
        return str(answer["revision"]), load_registry(text, f"{status_url}/registry")
    except (KeyError, TypeError) as error:
        raise click.ClickException(f"{status_url} is not the status address of one") from error
    except RegistryError as error:
        hint = "hint: is it of another version than this modelyard?"
        raise click.ClickException(f"what {status_url} serves cannot be read ({hint}): {error}")  # noqa: B904


def is_meant(context: click.Context, status_url: str | None, has_file: bool) -> bool:
    """Tell whether a control plane is asked, and not the file that stands in its place.

    A file counts more than a URL of the environment; both on the command line are wrong usage.
    """
    if not has_file or not status_url:
        return bool(status_url)
    if context.get_parameter_source("status_url") is ParameterSource.COMMANDLINE:
        raise click.UsageError("a file and --status-url both tell what there is now: give one")
    return False


def ask(status_url: str, path: str, headers: Mapping[str, str] = {}) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON at *path* of the status address, or raise `click.ClickException`.

    That is `NoAnswerError` if nothing answers.
    """
    if not status_url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{status_url!r} is no URL", param_hint="--status-url")
    url = status_url.rstrip("/") + path
    try:
        return asyncio.run(_get(url, headers))
    except (aiohttp.ClientConnectionError, OSError, TimeoutError) as error:
        raise NoAnswerError(f"{url} does not answer: {_reason(error)}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise click.ClickException(f"{url} does not answer as it should: {error}") from error


def _reason(error: Exception) -> str:
    """Return why nothing answers, in the words of the system where it has some."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


async def _get(url: str, headers: Mapping[str, str]) -> object:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(url) as response,
    ):
        text = await response.text()
        if response.status != OK:
            raise ValueError(f"{response.status} {text.strip()[:200]}")
        return json.loads(text)
