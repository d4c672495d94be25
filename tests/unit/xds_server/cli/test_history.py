"""`modelyard history` and `modelyard rollback`, without a control plane."""

from __future__ import annotations

import hashlib
import json

import pytest
from click.testing import CliRunner

from tests.support.state import kept
from xds_server.cli import main
from xds_server.state.history import History

TEXT = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
models:
  small: {pool: blue, timeout: 1s}
"""
EDITED = TEXT.replace("1s", "2s")
DIGEST = hashlib.sha256(b"key").hexdigest()
WITH_KEY = TEXT + f"auth: {{clients: {{team-a: {{key_sha256: {DIGEST}}}}}}}\n"


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(EDITED)
    return path


@pytest.fixture
def state(tmp_path, registry):
    folder = tmp_path / "state"
    folder.mkdir()
    for text in (TEXT, EDITED):
        History(folder).add(kept(registry, text.encode()), 9)
    return folder


@pytest.fixture
def revisions(state):
    return [entry.revision for entry in History(state).entries()]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_history_is_a_table_with_the_newest_first(state, revisions, registry):
    found = run("history", "--state-dir", state)

    heading, *rows = found.stdout.splitlines()
    assert heading.split()[0] == "REVISION"
    assert [row.split() for row in rows] == [
        [revision, "2026-01-02", "03:04:05", "1", str(registry)] for revision in revisions[::-1]
    ]


def test_history_is_json_if_asked_for(state, revisions, registry):
    found = json.loads(run("history", "--state-dir", state, "--json").stdout)

    assert found[1] == {
        "revision": revisions[0],
        "loaded_at": "2026-01-02T03:04:05.678Z",
        "models": 1,
        "registry": str(registry),
    }


def test_history_without_any_is_said(tmp_path):
    found = run("history", "--state-dir", tmp_path)

    assert (found.exit_code, found.stderr) == (1, f"{tmp_path}: holds no history\n")


def test_a_damaged_registry_is_said_and_cannot_come_back(state, revisions):
    path = History(state).entries()[0].path
    path.write_bytes(b"rubbish")
    listed = run("history", "--state-dir", state)
    back = run("rollback", revisions[0], "--state-dir", state)

    assert listed.exit_code == back.exit_code == 1
    assert listed.stderr.startswith(f"{path}: damaged, not used: it is no registry of Modelyard")
    assert len(listed.stdout.splitlines()) == 2
    assert "no revision in its history begins with" in back.stderr


def test_rollback_writes_the_file_back_with_its_mode(state, revisions, registry):
    registry.chmod(0o640)
    found = run("rollback", revisions[0], "--state-dir", state)

    assert (found.exit_code, found.stderr) == (0, "")
    assert registry.read_text() == TEXT
    assert registry.stat().st_mode & 0o777 == 0o640


def test_rollback_writes_to_where_a_symbolic_link_leads(state, revisions, registry):
    real = registry.rename(registry.with_name("real.yaml"))
    registry.symlink_to(real)
    run("rollback", revisions[0], "--state-dir", state)

    assert registry.is_symlink()
    assert real.read_text() == TEXT


def test_rollback_to_what_is_there_changes_nothing(state, revisions, registry):
    found = run("rollback", revisions[1], "--state-dir", state)

    assert found.stdout == f"{registry} is that of revision {revisions[1]} already\n"


def test_rollback_keeps_what_the_history_does_not_hold(state, revisions, registry):
    registry.write_text("an edit that was refused")
    found = run("rollback", revisions[0], "--state-dir", state)

    replaced = registry.with_name("registry.yaml.replaced")
    assert replaced.read_text() == "an edit that was refused"
    assert found.stderr == f"what {registry} held is in {replaced} now\n"


def test_rollback_can_write_another_file(state, revisions, registry, tmp_path):
    other = tmp_path / "other.yaml"
    run("rollback", revisions[0], "--state-dir", state, "--registry", other)

    assert (other.read_text(), registry.read_text()) == (TEXT, EDITED)


@pytest.mark.parametrize(
    ("revision", "words"), [("zz", "begins with 'zz'"), ("", "is the beginning of")]
)
def test_a_revision_that_is_not_one_is_refused(state, registry, revision, words):
    found = run("rollback", revision, "--state-dir", state)

    assert found.exit_code == 1
    assert words in found.stderr
    assert registry.read_text() == EDITED


def test_a_file_that_cannot_be_written_is_said(state, revisions, tmp_path):
    found = run("rollback", revisions[0], "--state-dir", state, "--registry", tmp_path / "no" / "r")

    assert found.exit_code == 1
    assert "no/r: cannot be written: No such file or directory" in found.stderr


def test_rollback_takes_digests_from_the_file_as_it_is(state, registry):
    moment = kept(registry, WITH_KEY.encode())
    History(state).add(moment, 9)
    without = run("rollback", moment.revision, "--state-dir", state)
    registry.write_text(WITH_KEY.replace("1s", "3s"))
    with_key = run("rollback", moment.revision, "--state-dir", state)

    assert without.exit_code == 1
    assert "has a `key_sha256` for the client 'team-a'" in without.stderr
    assert with_key.exit_code == 0
    assert registry.read_text() == WITH_KEY
