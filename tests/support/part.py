"""One part of a deployment that a test can stop and start again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

Running = TypeVar("Running")


class Part(Generic[Running]):
    """Something that runs; *run* is called for each start."""

    def __init__(self, run: Callable[[], AbstractAsyncContextManager[Running]]) -> None:
        self._run = run
        self._context: AbstractAsyncContextManager[Running] | None = None
        self._running: Running | None = None

    @property
    def running(self) -> Running:
        """What runs now."""
        assert self._context is not None, "this part has been stopped"
        return self._running

    async def start(self) -> Running:
        """Start it and return what then runs."""
        assert self._context is None, "this part runs already"
        context = self._run()
        self._running = await context.__aenter__()
        self._context = context
        return self._running

    async def stop(self) -> None:
        """Stop it, if it runs."""
        context, self._context = self._context, None
        if context is not None:
            await context.__aexit__(None, None, None)
