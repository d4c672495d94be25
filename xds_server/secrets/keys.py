"""Reading the keys of clients, and noticing that a file of keys has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from snapshots.registry.schema import Client
from xds_server.reload.look import Glance, ReadProblem, glance_at, read

SeenFiles = Mapping[Path, Glance]
"""The files that were read, each as it was just before."""


class KeyReader:
    """Reads what the clients of one registry name; a relative path starts at *folder*."""

    def __init__(self, folder: Path, environment: Mapping[str, str] = os.environ) -> None:
        self.seen: dict[Path, Glance] = {}
        self._folder = folder
        self._environment = environment

    def read(self, client: Client) -> bytes | str:
        """Return what the file or variable of *client* holds, or why it cannot be read."""
        if client.key_env is not None:
            value = self._environment.get(client.key_env)
            if value is None:
                return "the control plane's environment has no such variable"
            return os.fsencode(value)
        path = self._folder / (client.key_file or "")
        self.seen[path] = glance_at(path)
        content = read(path)
        return content.message if isinstance(content, ReadProblem) else content


def changed_files(seen: SeenFiles) -> list[Path]:
    """Return the files that are no longer as they were *seen*."""
    return [path for path, glance in seen.items() if glance_at(path) != glance]
