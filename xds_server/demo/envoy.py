"""A real Envoy as a child process.

Source: "Command line options" and "Administration interface" of Envoy's docs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from xds_server.envoy_binary import EnvoyError, find_envoy

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
LOOK_AGAIN_S = 0.02
LOG_LINES_SHOWN = 15


@dataclass(frozen=True, slots=True)
class Envoy:
    """An Envoy that is ready: its listeners take connections."""

    process: asyncio.subprocess.Process
    admin_address: str
    log: Path


@asynccontextmanager
async def running_envoy(
    bootstrap: str, folder: Path, *, workers: int = 1, options: Sequence[str] = ()
) -> AsyncIterator[Envoy]:
    """Run an Envoy on *bootstrap* (YAML, whose admin port may be 0); its files go to *folder*.

    *options* are more of its command line. Raises EnvoyError if it is not ready within 30 s. At the
    end it is told to stop by SIGTERM.
    """
    config, log, admin = folder / "envoy.yaml", folder / "envoy.log", folder / "admin-address"
    config.write_text(bootstrap)
    admin.unlink(missing_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            find_envoy(), "--config-path", str(config), "--admin-address-path", str(admin),
            "--concurrency", str(workers), "--disable-hot-restart", "--log-level", "warning",
            # Connections leave a listener that was changed with their next answer, not some time
            # within ten minutes.
            "--drain-strategy", "immediate", *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Envoy(process, await _ready(process, admin, log), log)
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, admin: Path, log: Path) -> str:
    """Return the admin address as soon as Envoy says that it is ready."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S), aiohttp.ClientSession() as session:
            while process.returncode is None:
                if (address := _read(admin)) and await _is_ready(session, address):
                    return address
                await asyncio.sleep(LOOK_AGAIN_S)
    except TimeoutError:
        raise EnvoyError(
            f"envoy was not ready within {START_TIMEOUT_S:g} s\n{_tail(log)}"
        ) from None
    raise EnvoyError(f"envoy ended with exit code {process.returncode}\n{_tail(log)}")


async def _is_ready(session: aiohttp.ClientSession, admin_address: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(f"http://{admin_address}/ready") as response:
            return response.status == 200  # noqa: PLR2004 - HTTP
    return False


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _tail(log: Path) -> str:
    lines = _read(log).splitlines()
    return "\n".join(lines[-LOG_LINES_SHOWN:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()
