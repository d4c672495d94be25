"""`modelyard validate`: the answer is the exit code, the reasons are on stderr."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from xds_server.cli import main

REGISTRY = """\
version: 1
pools:
  llama-1b: {endpoints: [10.0.0.1:8000, 10.0.0.2:8000], adapters: [sql-lora]}
models:
  llama: {pool: llama-1b, aliases: [small, tiny]}
"""


@pytest.fixture
def validate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(content):
        if content is not None:
            Path("registry.yaml").write_bytes(content.encode())
        return CliRunner().invoke(main, ["validate", "registry.yaml"])

    return run


def test_a_good_registry_is_counted_on_stdout(validate):
    result = validate(REGISTRY)

    assert result.exit_code == 0
    assert result.stdout == (
        "registry.yaml: 1 model, 2 aliases, 1 adapter, 1 pool, 2 endpoints, 1 gateway: ok\n"
    )
    assert not result.stderr


def test_every_error_of_a_bad_registry_is_a_line_on_stderr(validate):
    result = validate(REGISTRY.replace("pool: llama-1b", "pool: lama-1b, colour: red"))

    assert result.exit_code == 1
    assert not result.stdout
    assert result.stderr.splitlines() == [
        "registry.yaml:5:11: models.llama.pool: no pool is named `lama-1b`"
        " (hint: did you mean `llama-1b`?)",
        "registry.yaml:5:26: models.llama.colour: unknown field"
        " (hint: known here: pool, split, aliases, paths, timeout, idle_timeout, sticky, retries,"
        " fallback, mirror, rate_limit, headers, priority)",
    ]


def test_a_missing_file_is_one_line(validate):
    result = validate(None)

    assert result.exit_code == 1
    assert result.stderr == "registry.yaml: cannot be read: No such file or directory\n"


def test_a_directory_is_one_line(validate):
    Path("registry.yaml").mkdir()

    result = validate(None)

    assert result.exit_code == 1
    assert result.stderr == "registry.yaml: cannot be read: Is a directory\n"


def test_an_endless_file_is_read_to_the_bound_only(validate):
    Path("registry.yaml").symlink_to("/dev/zero")

    result = validate(None)

    assert result.exit_code == 1
    assert result.stderr == "registry.yaml:1:1: the file is larger than 16 MiB\n"


def test_a_missing_argument_is_wrong_usage():
    result = CliRunner().invoke(main, ["validate"])

    assert result.exit_code == 2
