"""Asking the Envoy binary whether it takes a configuration.

Source: "Command line options" of Envoy's docs, `--mode validate`.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xds_server.envoy_binary import EnvoyError

VERSION_TIMEOUT_S = 10.0
SHOWN_CHARACTERS = 500
DUMP = "goo.gle/debug"
"""With this begins what Envoy prints of messages, which may hold secrets: none of it is told."""
CONSTRAINT = "Proto constraint validation failed"


class PreflightTimeoutError(Exception):
    """Envoy did not come to an end in time."""


@dataclass(frozen=True, slots=True)
class EnvoyValidator:
    """One Envoy binary."""

    path: str

    async def version(self) -> str:
        """Return what the binary says of its version, or raise EnvoyError if it cannot be run."""
        try:
            async with asyncio.timeout(VERSION_TIMEOUT_S):
                code, said = await self._run("--version")
        except (OSError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or "it does not end"
            raise EnvoyError(f"{self.path} cannot be run: {reason}") from error
        found = re.search(r"version: \w+/([\w.-]+)/", said)
        if code != 0 or not found:
            raise EnvoyError(f"{self.path} is no Envoy: {_cut(said) or f'exit code {code}'}")
        return found[1]

    async def refusal(self, bootstrap: bytes, timeout_s: float) -> str:
        """Return Envoy's words on why it does not take *bootstrap* (protobuf); empty if it does.

        Raises PreflightTimeoutError after *timeout_s*, and EnvoyError if it cannot be run.
        """
        # It may hold private keys: the folder is for this user alone, and is soon gone.
        with tempfile.TemporaryDirectory(prefix="modelyard-preflight-") as folder:
            config = Path(folder) / "snapshot.pb"
            await asyncio.to_thread(config.write_bytes, bootstrap)
            try:
                async with asyncio.timeout(timeout_s):
                    code, said = await self._run(
                        "--mode", "validate", "--config-path", str(config),
                        "--log-level", "critical", "--log-format", "%v",
                    )  # fmt: skip
            except TimeoutError:
                raise PreflightTimeoutError from None
            except OSError as error:
                raise EnvoyError(f"{self.path} cannot be run: {error.strerror}") from error
        return "" if code == 0 else words(said) or f"it ended with exit code {code} and no words"

    async def _run(self, *arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace")


def words(said: str) -> str:
    """Return the reason in what Envoy *said*, on one line and without what it prints of messages.

    Of a broken constraint Envoy prints the whole configuration first, and then a chain of messages
    that each hold the next; the last of them is the one that is wrong.
    """
    reason = said.rpartition("error initializing configuration ")[2]
    if CONSTRAINT in reason:
        chain = reason.rpartition(CONSTRAINT)[2].strip().removeprefix("(").removesuffix(")")
        return _cut(chain.rpartition("caused by ")[2])
    return _cut(re.sub(r"^'[^']*': ", "", reason.partition(DUMP)[0].strip()))


def _cut(text: str) -> str:
    line = " ".join(text.split()).removesuffix(":")
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
