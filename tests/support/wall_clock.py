"""A wall clock for one process that a test can set, while it runs, without that of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """The wall clock of the processes that get `environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if not compiler and "CI" not in os.environ:
            pytest.skip("needs a C compiler, as `cc`")
        library, self._off_by = folder / "wall_clock.so", folder / "wall_clock.off_by"
        self.set_off(0)
        command = (compiler or "cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE)
        subprocess.run(command, check=True, timeout=60)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_OFF_BY": str(self._off_by)}

    def set_off(self, seconds: int) -> None:
        """Have it be *seconds* ahead of what is right, or behind it."""
        # In place: the processes hold this file mapped.
        with self._off_by.open("r+b" if self._off_by.exists() else "wb") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
