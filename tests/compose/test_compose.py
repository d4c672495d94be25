"""compose.yaml on a real Docker daemon; the tests run in the order in which they stand here."""

from __future__ import annotations

import pytest

from tests.compose.stack import ENVOYS

# The first test also waits for the daemon, the base image and the build.
pytestmark = pytest.mark.timeout(900)


def test_both_envoys_converge_on_the_registry_when_everything_is_up(stack):
    status = stack.wait_for_revision_after("")

    assert status["registry"]["error"] is None
    assert [node["id"] for node in status["nodes"]] == list(ENVOYS)
    assert {node["revision"] for node in status["nodes"]} == {status["revision"]}


@pytest.mark.parametrize("envoy", ENVOYS)
def test_each_model_is_answered_by_a_server_of_its_pool(stack, envoy):
    assert set(stack.servers(envoy, "llama-3-2-1b", 10)) == {"llama-1b-a", "llama-1b-b"}
    assert stack.chat(envoy, "small") in {"llama-1b-a", "llama-1b-b"}
    assert stack.chat(envoy, "llama-3-2-3b") == "llama-3b"
    assert stack.chat(envoy, "anything", path="/v1/3b/chat/completions") == "llama-3b"


@pytest.mark.parametrize("envoy", ENVOYS)
def test_the_split_reaches_both_of_its_pools(stack, envoy):
    counts = stack.servers(envoy, "auto", 60)

    assert 0 < counts["llama-3b"] < 60


def test_an_edit_in_place_reroutes_both_envoys(stack):
    before = stack.status()["revision"]

    # The same file, written over: what `cat >`, nano and many tools do.
    stack.registry.write_text(
        "version: 1\n"
        "pools: {only: {endpoints: ['llama-3b:8000']}}\n"
        "models: {small: {pool: only}, llama-3-2-1b: {pool: only}}\n"
    )

    stack.wait_for_revision_after(before)
    for envoy in ENVOYS:
        assert set(stack.servers(envoy, "small", 10)) == {"llama-3b"}


def test_an_edit_by_replacement_reroutes_both_envoys(stack):
    before = stack.status()["revision"]

    # Another file under the same name: what vim, sed -i and most editors do.
    newer = stack.registry.with_name("registry.yaml.new")
    newer.write_text(
        "version: 1\n"
        "pools: {only: {endpoints: ['llama-1b-a:8000']}}\n"
        "models: {small: {pool: only}, llama-3-2-1b: {pool: only}}\n"
    )
    newer.replace(stack.registry)

    stack.wait_for_revision_after(before)
    for envoy in ENVOYS:
        assert set(stack.servers(envoy, "small", 10)) == {"llama-1b-a"}


def test_a_bad_edit_is_told_and_changes_nothing(stack):
    before = stack.status()["revision"]

    stack.registry.write_text("version: 1\nmodels: {small: {pool: missing}}\n")

    status = stack.wait_for_refusal()
    assert "missing" in status["registry"]["error"]
    assert status["revision"] == before
    for envoy in ENVOYS:
        assert stack.chat(envoy, "small") == "llama-1b-a"


def test_only_the_loopback_address_is_published(stack):
    containers = stack.client.containers.list(filters=stack.filters())
    published = [p for c in containers for ports in c.ports.values() for p in ports or []]

    assert len(published) == 3
    assert {p["HostIp"] for p in published} == {"127.0.0.1"}


def test_down_leaves_nothing_behind(stack):
    assert stack.left_behind() != []

    stack.down()

    assert stack.left_behind() == []
