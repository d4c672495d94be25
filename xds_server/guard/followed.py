"""Files of the operator that are read together, and again whenever one of them changes.

Does not know what they are for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from xds_server.files.look import Glance, ReadProblem, glance_at, read
from xds_server.secrets.problems import Fault
from xds_server.secrets.read import MAX_SECRET_BYTES
from xds_server.secrets.watch import SecretWatch

log = structlog.get_logger()

T = TypeVar("T")


class GuardError(Exception):
    """A file that guards the control plane cannot be used; the message tells which and why."""


class FollowedFiles(Generic[T]):
    """What *make* makes of the contents of *paths*; the last good one while they are not good.

    *make* gets the contents in the order of *paths*, and returns a Fault whose message names the
    file if they cannot be used.
    """

    def __init__(self, paths: Sequence[Path], make: Callable[[Sequence[bytes]], T | Fault]) -> None:
        self._paths = tuple(paths)
        self._make = make
        self._glances: Mapping[Path, Glance] = {}
        self._value: T | None = None
        self.version = 0
        """Grows whenever there is another `value`."""

    @property
    def value(self) -> T:
        """What the files last held that can be used."""
        if self._value is None:
            raise RuntimeError("the files have not been read")
        return self._value

    async def load(self) -> None:
        """Read the files for the first time. Raises GuardError if they cannot be used."""
        made = await asyncio.to_thread(self._read)
        if isinstance(made, Fault):
            raise GuardError(_said(made))
        self._value = made
        self.version += 1

    async def follow(self) -> None:
        """Read the files again whenever one of them changes, until cancelled."""
        await SecretWatch(lambda: self._glances).follow(self._refresh)

    async def _refresh(self) -> None:
        paths = [str(path) for path in self._paths]
        made = await asyncio.to_thread(self._read)
        if isinstance(made, Fault):
            log.warning(
                "guard.files.kept",
                paths=paths,
                error_message=_said(made),
                consequence="what they held before goes on",
            )
            return
        self._value = made
        self.version += 1
        log.info("guard.files.replaced", paths=paths)

    def _read(self) -> T | Fault:
        # Looked at before they are read, so that no change falls between.
        self._glances = {path: glance_at(path) for path in self._paths}
        contents = []
        for path in self._paths:
            content = read(path, MAX_SECRET_BYTES, "secret")
            if isinstance(content, ReadProblem):
                return Fault(content.message)
            contents.append(content)
        return self._make(contents)


def _said(fault: Fault) -> str:
    return f"{fault.message} (hint: {fault.hint})" if fault.hint else fault.message
