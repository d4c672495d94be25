"""The control channel as its flags want it: in clear or by TLS, for everybody or for some."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from xds_server.guard.certificates import ServerCertificates, TlsFiles
from xds_server.guard.door import Door
from xds_server.guard.followed import FollowedFiles
from xds_server.guard.limits import Limits
from xds_server.guard.tokens import Tokens, token_file


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How xDS is guarded; what is given is demanded of every Envoy."""

    tls: TlsFiles | None = None
    token_file: Path | None = None
    limits: Limits = field(default_factory=Limits)


class Channel:
    """The guarded control channel of one control plane."""

    def __init__(self, settings: ChannelSettings) -> None:
        self._certificates = ServerCertificates(settings.tls) if settings.tls else None
        self._tokens: FollowedFiles[Tokens] | None = None
        if settings.token_file:
            self._tokens = token_file(settings.token_file)
        self.limits = settings.limits
        certified = settings.tls is not None and settings.tls.client_ca is not None
        self.door = Door(certified, self._tokens)

    async def load(self) -> None:
        """Read the files. Raises GuardError if one of them cannot be used."""
        for files in self._files():
            await files.load()

    async def follow(self) -> None:
        """Follow the files until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for files in self._files():
                tasks.create_task(files.follow())

    def add_port(self, server: grpc.aio.Server, address: str) -> int:
        """Have *server* listen on *address*; return the port. Raises RuntimeError if it cannot."""
        if self._certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._certificates.credentials())

    def _files(self) -> Iterator[FollowedFiles[Any]]:
        if self._certificates is not None:
            yield self._certificates.files
        if self._tokens is not None:
            yield self._tokens
