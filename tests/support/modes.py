"""The same deployment in each mode of extraction."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.echo_server import echo_server
from xds_server.bootstrap import Variant

MODES = ("ext_proc", "native")


@asynccontextmanager
async def echoing(
    template: str, mode: str, folder: Path, variant: Variant = "delta"
) -> AsyncIterator[Deployment]:
    """Run *template* with its `<mode>`, and its `<echo>` as an echo server; native runs alone."""
    async with echo_server("echo") as echo:
        text = template.replace("<mode>", mode).replace("<echo>", echo.address)
        async with deployment(text, (), folder, variant) as running:
            if mode == "native":
                await running.companion.stop()
            yield running


def each_mode(template: str) -> Any:
    """Return a fixture: one `echoing` deployment per mode for all tests of a module."""

    @pytest_asyncio.fixture(scope="module", loop_scope="module", params=MODES)
    async def deployed(request: Any, tmp_path_factory: Any) -> AsyncIterator[Deployment]:
        folder = tmp_path_factory.mktemp("deployment")
        async with echoing(template, request.param, folder) as running:
            yield running

    return deployed


@asynccontextmanager
async def both_modes(template: str, folder: Path) -> AsyncIterator[dict[str, Deployment]]:
    """Run *template* in both modes at once; gives the deployments by mode."""
    async with AsyncExitStack() as stack:
        running = {}
        for mode in MODES:
            (folder / mode).mkdir()
            running[mode] = await stack.enter_async_context(echoing(template, mode, folder / mode))
        yield running
