"""Options and fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

_ran_with_envoy: list[str] = []

# How long an example takes depends on what else the machine does.
settings.register_profile("modelyard", deadline=None)
settings.load_profile("modelyard")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files with what the code gives now",
    )
    parser.addoption(
        "--require-envoy",
        action="store_true",
        help="fail unless a test with a real Envoy was run",
    )
    parser.addoption(
        "--soak",
        action="store_true",
        help="let tests that have a long form take it",
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped and "envoy" in report.keywords:
        _ran_with_envoy.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--require-envoy") and not _ran_with_envoy:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("--require-envoy") and not _ran_with_envoy:
        terminalreporter.write_line("FAILED: no test with a real Envoy was run", red=True)


@pytest.fixture(scope="module", params=["delta", "sotw"])
def variant(request: pytest.FixtureRequest) -> str:
    """Return which variant of xDS Envoy is to speak: each in turn."""
    return request.param


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Tell whether tests are to take their long form."""
    return request.config.getoption("--soak")


@pytest.fixture
def expect_golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Return a function that asserts that a file holds a text, or with the option writes it."""

    def expect(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")

        assert path.is_file(), f"{path} is missing: run `make golden`"
        assert path.read_text(encoding="utf-8") == text

    return expect
