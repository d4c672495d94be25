"""A folder as an ordinary user has it, also where the tests run as root."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def ordinary_folder() -> Iterator[Path]:
    """Yield a folder of an ordinary user, as whom the test runs: root may read everything."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-test-"))
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)
