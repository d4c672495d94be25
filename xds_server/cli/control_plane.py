"""Asking a running control plane, so that one that does not answer is an answer of the command."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import click
from click.core import ParameterSource

from snapshots.registry.loader import RegistryError, load_registry
from snapshots.registry.schema import Registry
from xds_server.cli.options import option
from xds_server.files.look import ReadProblem, read

TIMEOUT_S = 30.0
MAX_TOKEN_FILE_BYTES = 64 * 1024
SAID_CHARACTERS = 300
DEFAULT_URL = "http://127.0.0.1:18001"


@dataclass(frozen=True, slots=True)
class StatusAddress:
    """The status address of a control plane, and what it is shown there."""

    url: str
    token_file: Path | None = None
    """The first line is the token; read anew each time, so that it may be replaced."""


class NoAnswerError(click.ClickException):
    """Nothing answers at a status address."""


def status_address_options(default: str | None) -> Callable[[Callable[..., Any]], Any]:
    """Add `--status-url` and `--status-token-file`; the command gets `status: StatusAddress`.

    Without a *default* it may be None: no control plane is asked.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_address(
            *arguments: object,
            status_url: str | None,
            status_token_file: Path | None,
            **others: object,
        ) -> object:
            address = StatusAddress(status_url, status_token_file) if status_url else None
            return command(*arguments, status=address, **others)

        with_token = option(
            "--status-token-file",
            type=click.Path(path_type=Path),
            default=None,
            metavar="FILE",
            help="Show the control plane the token that is the first line of this file.",
        )(with_address)
        return option(
            "--status-url",
            default=default,
            metavar="URL",
            help=f"Status address of a control plane that runs, such as {DEFAULT_URL}.",
        )(with_token)

    return add


def served_registry(status: StatusAddress) -> tuple[str, Registry]:
    """Return the revision and the registry that the control plane at *status* serves.

    Keys of clients are not in it: see `public_form`. Raises `click.ClickException`.
    """
    answer = ask(status, "/registry")
    try:
        text = json.dumps(answer["registry"]).encode()
        return str(answer["revision"]), load_registry(text, f"{status.url}/registry")
    except (KeyError, TypeError) as error:
        raise click.ClickException(f"{status.url} is not the status address of one") from error
    except RegistryError as error:
        hint = "hint: is it of another version than this modelyard?"
        raise click.ClickException(f"what {status.url} serves cannot be read ({hint}): {error}")  # noqa: B904


def is_meant(context: click.Context, status: StatusAddress | None, has_file: bool) -> bool:
    """Tell whether a control plane is asked, and not the file that stands in its place.

    A file counts more than a URL of the environment; both on the command line are wrong usage.
    """
    if not has_file or not status:
        return bool(status)
    if context.get_parameter_source("status_url") is ParameterSource.COMMANDLINE:
        raise click.UsageError("a file and --status-url both tell what there is now: give one")
    return False


def ask(status: StatusAddress, path: str, headers: Mapping[str, str] = {}) -> Any:  # noqa: ANN401 - JSON
    """Return the JSON at *path* of the status address, or raise `click.ClickException`.

    That is `NoAnswerError` if nothing answers.
    """
    if not status.url.startswith(("http://", "https://")):
        raise click.BadParameter(f"{status.url!r} is no URL", param_hint="--status-url")
    url = status.url.rstrip("/") + path
    shown = {**headers, **_authorization(status.token_file)}
    try:
        return asyncio.run(_get(url, shown))
    except aiohttp.ClientResponseError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise click.ClickException(_unauthorized(status)) from error
        said = f"{error.status} {error.message}"
        raise click.ClickException(f"{url} does not answer as it should: {said}") from error
    except (aiohttp.ClientConnectionError, OSError, TimeoutError) as error:
        raise NoAnswerError(f"{status.url} does not answer: {_reason(error)}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise click.ClickException(f"{url} does not answer as it should: {error}") from error


def _authorization(token_file: Path | None) -> dict[str, str]:
    """Return the headers that show the token in *token_file*."""
    if token_file is None:
        return {}
    content = read(token_file, MAX_TOKEN_FILE_BYTES, "token")
    if isinstance(content, ReadProblem):
        raise click.ClickException(f"--status-token-file: {content.message}")
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    token = lines[0].decode("ascii", "replace") if lines else ""
    if not token.isascii() or not token.isprintable() or not token:
        what = "its first line is no token" if token else "it is empty"
        raise click.ClickException(f"--status-token-file: {token_file}: {what}")
    return {"authorization": f"Bearer {token}"}


def _unauthorized(status: StatusAddress) -> str:
    if status.token_file is None:
        return (
            f"{status.url} wants a token (hint: name the file that holds it by "
            "--status-token-file or MODELYARD_STATUS_TOKEN_FILE)"
        )
    return (
        f"{status.url} does not take the token in {status.token_file} (hint: is it a line of the "
        "file that its `serve --status-token-file` names?)"
    )


def _reason(error: Exception) -> str:
    """Return why nothing answers, in the words of the system where it has some."""
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _error_in(text: str) -> str:
    """Return the `error` of an answer, or all of it if there is none."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()


async def _get(url: str, headers: Mapping[str, str]) -> object:
    """Return the JSON at *url*; aiohttp.ClientResponseError if that says no."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(url) as response,
    ):
        text = await response.text()
        if response.status != HTTPStatus.OK:
            raise aiohttp.ClientResponseError(
                response.request_info,
                response.history,
                status=response.status,
                message=_error_in(text)[:SAID_CHARACTERS],
            )
        return json.loads(text)
