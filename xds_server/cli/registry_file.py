"""Reading the registry file for commands, so that a bad one is an answer and not a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import click
from typing_extensions import override

from snapshots.registry.loader import MAX_FILE_BYTES, RegistryError, load_registry
from snapshots.registry.schema import Registry
from xds_server.secrets.material import MaterialReader

registry_argument = click.argument("registry", metavar="REGISTRY", type=click.Path(path_type=Path))
"""The argument REGISTRY; the command gets it as `registry: Path`."""


class RegistryRefusedError(click.ClickException):
    """A file that is no registry; click prints every reason on stderr and exits with 1."""

    exit_code = 1

    @override
    def show(self, file: IO[Any] | None = None) -> None:
        # Without click's "Error: ", so that editors find file, line and column on every line.
        click.echo(self.format_message(), file=file, err=file is None)


def read_registry(path: Path, *, secrets: bool = False) -> Registry:
    """Return the registry in the file *path*, or raise `RegistryRefusedError`.

    With *secrets*, what it refers to must be there and fit too.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RegistryRefusedError(f"{path}: cannot be read: {reason}") from error
    try:
        registry = load_registry(text, str(path))
        if secrets:
            MaterialReader(path).read(registry, text)
    except RegistryError as error:
        raise RegistryRefusedError(str(error)) from error
    return registry
