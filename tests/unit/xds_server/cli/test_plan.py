"""`modelyard plan`: text for people, JSON for programs, the exit code for pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from xds_server.cli import main

OLD = """\
version: 1
pools:
  llama-1b: {endpoints: [10.0.0.1:8000, 10.0.0.2:8000]}
  llama-3b: {endpoints: [10.0.0.3:8000]}
models:
  small: {pool: llama-1b}
  auto: {split: {llama-1b: 70, llama-3b: 30}}
"""
NEW = OLD.replace("70", "50").replace("30}", "50}").replace(", 10.0.0.2:8000", "")


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(OLD)
    Path("new.yaml").write_text(NEW)

    def run(*arguments: str, **environment: str):
        return CliRunner().invoke(main, ["plan", *arguments], env=environment)

    return run


def test_what_changes_is_told_in_the_words_of_the_file(plan):
    result = plan("old.yaml", "new.yaml")

    assert result.exit_code == 0
    assert not result.stderr
    lines = result.stdout.splitlines()
    assert lines[:8] == [
        "models",
        "  ~ auto",
        "      split.llama-1b: 70 -> 50",
        "      split.llama-3b: 30 -> 50",
        "pools",
        "  ~ llama-1b",
        "      endpoints: - 10.0.0.2:8000",
        "Envoys of all node clusters (gateway default)",
    ]
    assert lines[8].startswith("  ~ ClusterLoadAssignment pool/llama-1b  ")
    assert lines[9].startswith("  ~ RouteConfiguration model/auto  ")
    assert lines[10].startswith("  2 resources change, 10 stay; to each Envoy: ")
    assert lines[11:] == [
        "  no listener changes: no connection ends",
        "drained: gets no new requests, and is gone when no Envoy is at work there, "
        "after 60 s at most",
        "  10.0.0.2:8000 of llama-1b",
    ]


def test_json_has_the_same_for_programs(plan):
    told = json.loads(plan("old.yaml", "new.yaml", "--json").stdout)

    assert told["changes"] is True
    assert told["entries"][0]["fields"][0] == {
        "field": "split.llama-1b", "what": "changed", "before": "70", "after": "50"
    }  # fmt: skip
    (group,) = told["groups"]
    assert group["traffic"]["delta"]["responses"] == 3
    assert group["listener_changes"] is False


@pytest.mark.parametrize(
    ("files", "code"), [(("old.yaml", "new.yaml"), 2), (("old.yaml", "old.yaml"), 0)]
)
def test_the_exit_code_tells_whether_anything_changes_if_asked(plan, files, code):
    assert plan(*files, "--exit-code").exit_code == code
    assert plan(*files).exit_code == 0


def test_nothing_changes_is_said(plan):
    assert plan("old.yaml", "old.yaml").stdout == "nothing changes\n"


def test_a_pool_without_a_model_changes_the_file_and_its_envoys_not_at_all(plan):
    Path("new.yaml").write_text(OLD.replace("pools:", "pools:\n  spare: {endpoints: [h:1]}"))

    assert plan("old.yaml", "new.yaml").stdout.splitlines() == [
        "pools",
        "  + spare  {endpoints: ['h:1']}",
        "no Envoy is sent anything for it",
    ]


def test_many_resources_are_counted_not_listed(plan):
    many = "".join(f"  m{number}: {{pool: llama-1b}}\n" for number in range(30))
    Path("new.yaml").write_text(OLD + many)

    lines = plan("old.yaml", "new.yaml").stdout.splitlines()

    assert "  and 41 more" in lines
    assert (
        len(json.loads(plan("old.yaml", "new.yaml", "--json").stdout)["groups"][0]["resources"])
        == 61
    )


@pytest.mark.parametrize(
    "arguments",
    [(), ("old.yaml",), ("old.yaml", "new.yaml", "old.yaml"),
     ("old.yaml", "new.yaml", "--status-url", "http://127.0.0.1:1")],
)  # fmt: skip
def test_it_needs_something_old_and_something_new(plan, arguments):
    assert plan(*arguments).exit_code == 2


def test_two_files_need_no_control_plane_wherever_one_is(plan):
    assert plan("old.yaml", "old.yaml", MODELYARD_STATUS_URL="http://127.0.0.1:1").exit_code == 0


def test_a_file_that_is_refused_is_told(plan):
    Path("new.yaml").write_text(OLD.replace("pool: llama-1b", "pool: llama-1"))

    result = plan("old.yaml", "new.yaml", "--exit-code")

    assert result.exit_code == 1
    assert result.stderr.startswith("new.yaml:6:11: models.small.pool: no pool is named")


def test_a_control_plane_that_is_not_there_is_told(plan):
    result = plan("new.yaml", "--status-url", "http://127.0.0.1:1")

    assert result.exit_code == 1
    assert result.stderr.startswith("Error: http://127.0.0.1:1 does not answer: ")
