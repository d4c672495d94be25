"""LiteLLM's proxy, as it comes from PyPI, with one model that one server answers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml

from tests.benchmarks.ways import Way
from xds_server.demo.stack import free_address

ENVIRONMENT = Path(__file__).parents[3] / "build" / "peers" / "litellm"
"""Its virtual environment: its packages do not go together with ours. `make peers` makes it."""
COMMAND = ENVIRONMENT / "bin" / "litellm"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.2


def is_installed() -> bool:
    return COMMAND.is_file()


def version() -> str:
    """Return the version that is installed, as a folder of its packages says it."""
    [folder] = ENVIRONMENT.glob("lib/python*/site-packages/litellm-*.dist-info")
    return folder.name.removeprefix("litellm-").removesuffix(".dist-info")


@asynccontextmanager
async def running_litellm(server: str, folder: Path) -> AsyncIterator[Way]:
    """Run it in front of *server*, with one worker, without keys, and without a database."""
    config = folder / "litellm.yaml"
    backend = {"model": "openai/probe", "api_base": f"http://{server}/v1", "api_key": "none"}
    config.write_text(yaml.safe_dump({"model_list": [_named("probe", backend)]}))
    address = free_address()
    with (folder / "litellm.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, "--config", config, "--host", address.host, "--port", str(address.port)),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
            start_new_session=True,
        )
    try:
        await _started(f"http://{address}/health/liveliness", process)
        yield Way("LiteLLM", str(address), [process.pid])
    finally:
        await _stop(process)


def _named(name: str, parameters: dict[str, str]) -> dict[str, object]:
    return {"model_name": name, "litellm_params": parameters}


async def _started(url: str, process: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(START_TIMEOUT_S):
        while process.returncode is None:
            try:
                async with session.get(url) as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(LOOK_AGAIN_S)
    raise AssertionError(f"LiteLLM ended with {process.returncode}")


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
