"""`modelyard render` prints what the Envoys of one gateway are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from xds_server.cli import main

REGISTRY = """\
version: 1
gateways:
  inner: {node_cluster: inner}
  edge: {listen: 0.0.0.0:8443, node_cluster: edge, models: [модель]}
pools:
  a: {endpoints: [10.0.0.1:8000]}
models:
  модель: {pool: a}
  other: {pool: a}
"""


@pytest.fixture
def render(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("registry.yaml").write_text(REGISTRY)

    def run(*arguments: str, **environment: str):
        return CliRunner().invoke(main, ["render", "registry.yaml", *arguments], env=environment)

    return run


def test_it_is_yaml_with_a_section_for_each_type(render):
    result = render("--node-cluster", "edge")

    sections = yaml.safe_load(result.stdout)
    assert result.exit_code == 0
    assert list(sections) == [
        "listeners",
        "scoped_routes",
        "routes",
        "clusters",
        "endpoints",
        "secrets",
    ]
    assert [listener["name"] for listener in sections["listeners"]] == ["gateway/edge"]
    assert [s["name"] for s in sections["scoped_routes"]] == ["model/модель", "no-model"]
    assert not result.stderr


def test_names_can_be_read_and_nothing_is_an_anchor(render):
    result = render("--node-cluster", "edge")

    assert "model/модель" in result.stdout
    assert not any(
        line.rpartition(" ")[2].startswith(("&", "*id")) for line in result.stdout.splitlines()
    )


def test_the_group_may_come_from_the_environment(render):
    assert render(MODELYARD_NODE_CLUSTER="edge").stdout == render("--node-cluster", "edge").stdout


def test_a_group_that_no_gateway_wants_is_one_line_with_a_hint(render):
    result = render("--node-cluster", "nope")

    assert result.exit_code == 1
    assert not result.stdout
    assert result.stderr == (
        "Error: no gateway has the node_cluster 'nope' "
        "(hint: --node-cluster edge or --node-cluster inner)\n"
    )


def test_a_gateway_for_every_group_is_for_that_one_too(render):
    Path("registry.yaml").write_text("version: 1\n")

    assert "gateway/default" in render("--node-cluster", "nope").stdout


def test_a_bad_registry_is_told_as_validate_tells_it(render):
    Path("registry.yaml").write_text("version: 2\n")

    result = render()

    assert result.exit_code == 1
    assert not result.stdout
    assert result.stderr.startswith("registry.yaml:1:1: version: not a known version")


def test_a_missing_file_is_one_line(render):
    Path("registry.yaml").unlink()

    result = render()

    assert result.exit_code == 1
    assert result.stderr == "registry.yaml: cannot be read: No such file or directory\n"
