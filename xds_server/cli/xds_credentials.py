"""The options by which `modelyard bootstrap` tells an Envoy how to prove who it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import PurePosixPath
from typing import Any

import click

from xds_server.bootstrap_channel import XdsCredentials
from xds_server.cli.options import option


def _path(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not value:
        return ""
    if not PurePosixPath(value).is_absolute():
        raise click.BadParameter(f"{value!r} is relative, and Envoy runs elsewhere: begin with /")
    if not value.isprintable() or any(character in "%():" for character in value):
        raise click.BadParameter(f"{value!r} has a character that Envoy takes for something else")
    return value


def xds_credentials_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to *command*, which gets `channel: XdsCredentials`."""

    @wraps(command)
    def with_credentials(
        xds_ca: str, xds_cert: str, xds_key: str, xds_token_file: str, **others: object
    ) -> object:
        if bool(xds_cert) != bool(xds_key):
            raise click.UsageError("--xds-cert and --xds-key need each other")
        if xds_cert and not xds_ca:
            raise click.UsageError("--xds-cert needs --xds-ca: whom is it shown to?")
        return command(channel=XdsCredentials(xds_ca, xds_cert, xds_key, xds_token_file), **others)

    for name, text in reversed(
        (
            ("--xds-ca", "Speak TLS to the control plane; the authorities of its certificate."),
            (
                "--xds-cert",
                "With --xds-ca: the certificate of this Envoy, naming its node id.",
            ),
            ("--xds-key", "With --xds-cert: its private key."),
            ("--xds-token-file", "Show the control plane the token in this file, of one line."),
        )
    ):
        with_credentials = option(
            name, default="", show_default=False, metavar="PATH", callback=_path, help=text
        )(with_credentials)
    return with_credentials
