"""Writing to the state directory, in such a way that a failure is said once and stops nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from xds_server.state.cuts import CannotHideError
from xds_server.state.metrics import StateMetrics

log = structlog.get_logger()

CONSEQUENCE = (
    "Envoys are served all the same; until this is mended, a restart builds the registry first, "
    "and may offer once more what Envoys refused"
)


RETRY_S = 5.0
"""How soon is tried again what could not be written."""


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None], end: Callable[[], None]) -> AsyncIterator[None]:
    """Have *work* go on until the block ends; then tell it to *end*, and wait until it has."""
    failure: Exception | None = None
    async with asyncio.TaskGroup() as tasks:
        going_on = tasks.create_task(work)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised below, not wrapped in a group
            failure = error
        finally:
            end()
            await going_on  # here, as the group would cancel it
    if failure is not None:
        raise failure


class Writing:
    """Writes the files of the state directory at *path*; each is a *part* with a name."""

    def __init__(self, path: Path, metrics: StateMetrics) -> None:
        self._path = path
        self._metrics = metrics
        self._failing: dict[str, str] = {}

    async def attempt(self, part: str, write: Callable[[], None]) -> bool:
        """Call *write* in a thread; return whether it succeeded."""
        try:
            await asyncio.to_thread(write)
        except Exception as error:  # noqa: BLE001 - Envoys are served whatever becomes of this
            self._failed(part, _reason(error))
            return False
        was_failing = bool(self._failing)
        self._failing.pop(part, None)
        self._metrics.written(is_all=not self._failing)
        if was_failing and not self._failing:
            log.info("state.write.recovered", path=str(self._path))
        return True

    def _failed(self, part: str, reason: str) -> None:
        self._metrics.failed()
        is_news = reason not in self._failing.values()
        self._failing[part] = reason
        if is_news:
            log.warning(
                "state.write.failed",
                path=str(self._path),
                error_message=reason,
                consequence=CONSEQUENCE,
            )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, CannotHideError):
        return f"it would show {error}"
    return f"{type(error).__name__}: {error}"
