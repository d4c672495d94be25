"""Which Envoy is started, or asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xds_server.envoy_binary import EnvoyError, find_envoy


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Return a folder in which this Python seems to be, and one that is on the PATH."""
    beside, on_path = tmp_path / "beside", tmp_path / "path"
    beside.mkdir()
    on_path.mkdir()
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", str(on_path))
    return beside, on_path


def program(folder, mode: int = 0o755) -> str:
    path = folder / "envoy"
    path.touch(mode)
    return str(path)


def test_the_one_beside_this_python_comes_first(folders):
    beside, on_path = folders
    program(on_path)

    assert program(beside) == find_envoy()


def test_else_it_is_the_one_on_the_path(folders):
    _, on_path = folders

    assert program(on_path) == find_envoy()


def test_a_file_that_cannot_be_run_is_none(folders):
    beside, on_path = folders
    program(beside, mode=0o644)

    assert program(on_path) == find_envoy()


def test_without_one_there_is_a_hint(folders):
    with pytest.raises(EnvoyError, match=r"^there is no envoy on the PATH \(hint: pip install"):
        find_envoy()


def test_the_one_that_is_given_is_meant(folders):
    beside, on_path = folders
    program(beside)
    given = program(on_path)

    assert find_envoy(Path(given)) == given


def test_one_that_is_given_must_be_there(folders, tmp_path):
    program(folders[0])

    with pytest.raises(EnvoyError, match=r"missing/envoy is no program that can be run \(hint:"):
        find_envoy(tmp_path / "missing" / "envoy")
