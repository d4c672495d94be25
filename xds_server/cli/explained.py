"""What a request is explained by: a file, or what a control plane serves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from snapshots.material import Content
from snapshots.registry.client_keys import digest_keys
from snapshots.registry.mentions import mentions
from snapshots.registry.schema import Registry
from snapshots.shown_key import digest_of
from xds_server.cli.control_plane import StatusAddress, ask, served_registry
from xds_server.cli.registry_file import read_registry
from xds_server.secrets.read import read_sources
from xds_server.status.client import DIGEST_HEADER, PATH


class KeySource(Protocol):
    """A registry, and who has which key."""

    registry: Registry
    revision: str
    """Empty for a file."""
    notes: tuple[str, ...]
    """Why a key may not be found although a client has it."""

    def client_of(self, key: str) -> str | None:
        """Return the client that has *key*; None if there is none."""


class FileSource:
    """The file *path*; of the keys, those that can be read here."""

    def __init__(self, path: Path) -> None:
        self.registry = read_registry(path)
        self.revision = ""
        self.notes: tuple[str, ...] = ()
        self._folder = path.parent

    def client_of(self, key: str) -> str | None:
        """Return the client that has *key*; None if there is none, or its key cannot be read."""
        keys = [mention for mention in mentions(self.registry) if mention.form == "client key"]
        contents = read_sources(keys, self._folder, os.environ).contents
        material = {s: c for s, c in contents.items() if isinstance(c, Content)}
        hidden = sorted(str(m.source) for m in keys if m.source not in material)
        if hidden:
            self.notes = (f"keys that cannot be read here: {', '.join(hidden)}",)
        digests, _ = digest_keys(self.registry, material)
        shown = digest_of(key)
        for name, client in (self.registry.auth.clients or {}).items():
            if shown == (client.key_sha256 or digests.get(name)):
                return name
        return None


class ServedSource:
    """What the control plane at *status* serves; it compares digests of keys."""

    def __init__(self, status: StatusAddress) -> None:
        self.revision, self.registry = served_registry(status)
        self.notes: tuple[str, ...] = ()
        self._status = status

    def client_of(self, key: str) -> str | None:
        """Return the client that has *key*; None if there is none."""
        answer = ask(self._status, PATH, {DIGEST_HEADER: digest_of(key)})
        found = answer.get("client") if isinstance(answer, dict) else None
        return found if isinstance(found, str) else None
