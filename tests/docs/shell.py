"""Run the `bash` blocks of a document as a reader would type them: one shell, in order.

What a block starts with `&` runs on for the blocks below it. A command that fails fails the block.

A `text` block below a `bash` block says what is printed: each of its lines is in the output, in
that order, and `...` in a line stands for anything, as do revisions, times, durations and sizes
for others, and spaces for spaces. Such a block is repeated until it prints that,
since what was started above it needs a moment; so it must only ask, and a block that changes
something has no `text` block.

Ports of this machine that a document names are replaced by free ones, the same for the same.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import Self

from tests.docs.blocks import ROOT, Block
from xds_server.demo.stack import free_address

PORT = re.compile(r"(?P<host>127\.0\.0\.1|0\.0\.0\.0|localhost):(?P<port>\d{2,5})\b")
DEFAULT_PORTS = {
    "MODELYARD_XDS_ADDRESS": "127.0.0.1:18000",
    "MODELYARD_STATUS_ADDRESS": "127.0.0.1:18001",
    "MODELYARD_STATUS_URL": "http://127.0.0.1:18001",
    "MODELYARD_ADMIN_ADDRESS": "127.0.0.1:9901",
}
DIFFERS = re.compile(
    r"(?P<digest>\b[0-9a-f]{16}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+Z)?)"
    r"|(?P<duration>\b\d+(?:\.\d+)? (?:s|ms|min)\b)"
    r"|(?P<field>(?<=\bseconds=)[\d.]+)"
    r"|(?P<metric>(?:(?<=_bytes )|(?<=_fds )|(?<=_sum )|(?<=_allocated: )|(?<=_size: ))[\d.e+-]+)"
    r"|(?P<size>\b[\d,]+(?= (?:bytes|answers)\b| \((?:delta|state of the world)\)))"
    r"|(?P<spaces> +)"
    r"|(?P<anything>\.\.\.)"
)
"""What of an output is another one each time."""
ALIKE = {
    "digest": "[0-9a-f]{16}",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+Z)?",
    "duration": r"\d+(?:\.\d+)? (?:s|ms|min)",
    "field": r"[\d.]+",
    "metric": r"[\d.e+-]+",
    "size": r"[\d,]+",
    "spaces": " +",
    "anything": r"[^\n]*",
}
END = "-- end of the block: "
REPEAT_LIMIT_S = 30
PAUSE_S = 0.3
STOP_LIMIT_S = 20
TRANSCRIPT_LINES = 100


class BlockError(AssertionError):
    """A block failed, or did not print what the document says."""


class FreePorts:
    """The ports that a document names, each replaced by one that is free here."""

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}

    def replace(self, text: str) -> str:
        """Return *text* with each port of this machine replaced."""
        return PORT.sub(lambda found: f"{found['host']}:{self._free(found['port'])}", text)

    def _free(self, port: str) -> str:
        if port not in self._chosen:
            self._chosen[port] = str(free_address().port)
        return self._chosen[port]


class Shell:
    """One bash and everything that was started in it; to be used as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._ports = FreePorts()
        self._directory = directory
        self._said: deque[str] = deque(maxlen=TRANSCRIPT_LINES)
        defaults = {name: self._ports.replace(value) for name, value in DEFAULT_PORTS.items()}
        path = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"
        self._environment = os.environ | defaults | {"PATH": path, "NO_COLOR": "1"}

    def __enter__(self) -> Self:
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._send("trap 'failed=1' ERR\n")
        return self

    def __exit__(self, *_: object) -> None:
        # The session holds the shell and its background jobs, and nothing else.
        os.killpg(self._bash.pid, signal.SIGTERM)
        try:
            self._bash.communicate(timeout=STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._bash.pid, signal.SIGKILL)
            raise

    def run(self, block: Block, expected: Block | None) -> None:
        """Run *block*; with *expected*, until it prints that. BlockError if it does not."""
        if expected is None:
            failed, output = self._run_once(block)
            if failed:
                raise BlockError(f"{block.place} failed:\n{output}\n{self._transcript()}")
            return
        wanted = pattern(self._ports.replace(expected.text))
        deadline = time.monotonic() + REPEAT_LIMIT_S
        while not wanted.search(self._run_once(block)[1]):
            if time.monotonic() > deadline:
                said = self._transcript()
                raise BlockError(f"{block.place} does not print {expected.place}:\n{said}")
            time.sleep(PAUSE_S)

    def _run_once(self, block: Block) -> tuple[bool, str]:
        """Run *block*; return whether a command in it failed, and all that was printed since."""
        text = self._ports.replace(block.text)
        # No input for the commands: they would read the rest of the script.
        self._send(f"failed=0\n{{\n{text}\n}} </dev/null\nprintf '\\n%s%s\\n' '{END}' $failed\n")
        assert self._bash.stdout is not None
        output = []
        for line in self._bash.stdout:
            if line.startswith(END):
                return line.removeprefix(END).strip() != "0", "".join(output)
            output.append(line)
            self._said.append(line)
        raise BlockError(f"{block.place} ended the shell:\n{self._transcript()}")

    def _transcript(self) -> str:
        """Return the end of all that was printed, by the processes in the background too."""
        return "the shell has printed so far:\n" + "".join(self._said)

    def _send(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)
        self._bash.stdin.flush()


def pattern(expected: str) -> re.Pattern[str]:
    """Return what finds the lines of *expected*, or such as differ by time only, in this order."""
    lines = map(_line_pattern, expected.splitlines())
    return re.compile(r"[\s\S]*?".join(rf"^{line}\s*?$" for line in lines), re.MULTILINE)


def _line_pattern(line: str) -> str:
    parts, end = [], 0
    for found in DIFFERS.finditer(line):
        parts += [re.escape(line[end : found.start()]), ALIKE[str(found.lastgroup)]]
        end = found.end()
    return "".join([*parts, re.escape(line[end:])])
