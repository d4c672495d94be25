"""The options by which `modelyard serve` guards and bounds the control channel."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from xds_server.cli.options import option
from xds_server.guard.certificates import TlsFiles
from xds_server.guard.channel import ChannelSettings
from xds_server.guard.limits import Limits


def channel_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to *command*, which gets `channel: ChannelSettings`."""

    @wraps(command)
    def with_settings(
        tls_cert: Path | None,
        tls_key: Path | None,
        client_ca: Path | None,
        token_file: Path | None,
        max_streams: int,
        **others: object,
    ) -> object:
        tls = _tls(tls_cert, tls_key, client_ca)
        limits = Limits(streams=max_streams)
        return command(channel=ChannelSettings(tls, token_file, limits), **others)

    with_settings = option(
        "--max-streams",
        type=click.IntRange(1, 1_000_000),
        default=Limits().streams,
        metavar="NUMBER",
        help="How many xDS streams may be open; an Envoy has one. More are refused.",
    )(with_settings)
    for name, text in reversed(
        (
            ("--tls-cert", "Speak TLS to Envoys, with the certificate in this PEM file; followed."),
            ("--tls-key", "With --tls-cert: its private key."),
            (
                "--client-ca",
                "With --tls-cert: demand a certificate of every Envoy, signed by one of these"
                " authorities, that names its node id.",
            ),
            ("--token-file", "Demand of every Envoy a bearer token that is a line of this file."),
        )
    ):
        with_settings = option(
            name, type=click.Path(path_type=Path), default=None, metavar="FILE", help=text
        )(with_settings)
    return with_settings


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    if certificate and key:
        return TlsFiles(certificate, key, client_ca)
    if certificate or key:
        raise click.UsageError("--tls-cert and --tls-key need each other")
    if client_ca:
        raise click.UsageError("--client-ca needs --tls-cert and --tls-key")
    return None
