"""The contents of what a registry refers to, and where their files can change.

Does not judge what they hold: see `xds_server.secrets.judge`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from snapshots.material import Content, Mention, Source
from xds_server.files.look import Glance, ReadProblem, glance_at, read
from xds_server.secrets.problems import Fault

MAX_SECRET_BYTES = 1024 * 1024
"""A file with all authorities of the web has 0.2 MB; a larger one is another file."""

SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)
"""Where systems keep the authorities that they trust, if Python does not know."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sources held at one moment."""

    contents: Mapping[Source, Content | Fault]
    glances: Mapping[Path, Glance]
    """Of each file; taken before it was read, so that it is never the newer half."""


def read_sources(
    mentions: Iterable[Mention], folder: Path, environment: Mapping[str, str]
) -> Reading:
    """Return what every source in *mentions* holds; files are relative to *folder*."""
    contents: dict[Source, Content | Fault] = {}
    glances: dict[Path, Glance] = {}
    for source in sorted({mention.source for mention in mentions}):
        if source.kind == "variable":
            contents[source] = _variable(source.name, environment)
            continue
        path = _system_file() if source.kind == "system" else folder / source.name
        glances[path] = glance_at(path)
        contents[source] = _file(path, source)
    return Reading(contents, glances)


def _variable(name: str, environment: Mapping[str, str]) -> Content | Fault:
    value = environment.get(name)
    if value is None:
        return Fault(
            f"the environment variable {name} is not set", "set it where the control plane starts"
        )
    return Content(value.encode(errors="surrogateescape"))


def _file(path: Path, source: Source) -> Content | Fault:
    content = read(path, MAX_SECRET_BYTES, "secret")
    if not isinstance(content, ReadProblem):
        return Content(content)
    if source.kind == "system":
        return Fault(
            "this machine has no file with the authorities that it trusts",
            "name one with `ca`, or by the environment variable SSL_CERT_FILE",
        )
    relative = not Path(source.name).is_absolute()
    hint = "files are relative to the folder of the registry" if relative else ""
    return Fault(content.message, hint)


def _system_file() -> Path:
    """Return the file with the authorities that this machine trusts, as OpenSSL finds it."""
    known = ssl.get_default_verify_paths().cafile
    candidates = [Path(known)] if known else []
    candidates += map(Path, SYSTEM_FILES)
    return next((path for path in candidates if path.is_file()), candidates[0])
