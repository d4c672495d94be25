"""`modelyard` as a process: how quickly it answers, and how it ends in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = str(Path(__file__).parents[2] / "envoy" / "registry.example.yaml")
MODELYARD = (sys.executable, "-m", "xds_server")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*MODELYARD, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_help_loads_no_command():
    imported = (
        "import sys; from xds_server.cli import main; main(['--help'], standalone_mode=False)"
    )
    heavy = "print(sorted({'aiohttp', 'grpc', 'google', 'pydantic', 'yaml'} & set(sys.modules)))"

    ran = subprocess.run(
        [sys.executable, "-c", f"{imported}; {heavy}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert ran.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_wrong_usage():
    ran = run("nope")

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "no command is named 'nope'" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("bootstrap", "--node-id", "envoy-1"),
        ("explain", EXAMPLE, "--model", "small"),
        ("plan", EXAMPLE, EXAMPLE),
        ("render", EXAMPLE),
        ("schema",),
        ("validate", EXAMPLE),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_reader_that_has_gone_is_no_reason_to_complain(arguments):
    reading, writing = os.pipe()
    os.close(reading)

    try:
        ended = subprocess.run(
            [*MODELYARD, *arguments],
            stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)

    assert ended.stderr == ""


def test_the_first_line_of_much_can_be_had():
    shell = f"set -o pipefail; {sys.executable} -m xds_server render {EXAMPLE} | head -1"

    ran = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ran.stdout, ran.stderr) == ("listeners:\n", "")


def test_what_is_printed_does_not_depend_on_the_locale():
    registry = "version: 1\npools: {ü: {endpoints: [10.0.0.1:1]}}\nmodels: {модель: {pool: ü}}\n"

    ran = subprocess.run(
        [*MODELYARD, "explain", "/dev/stdin", "--model", "модель"],
        input=registry.encode(), env={**os.environ, "LC_ALL": "C"},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert ran.returncode == 0
    assert "pool      ü: 100 %" in ran.stdout.decode()
