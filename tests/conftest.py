"""Options and fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files with what the code gives now",
    )


@pytest.fixture
def expect_golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Return a function that asserts that a file holds a text, or with the option writes it."""

    def expect(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")

        assert path.is_file(), f"{path} is missing: run `make golden`"
        assert path.read_text(encoding="utf-8") == text

    return expect
