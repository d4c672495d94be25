"""Edit, wait, ask: after `modelyard wait` no real Envoy answers by what was there before."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest
from envoy.config.cluster.v3 import cluster_pb2

from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER
from tests.support import command
from tests.support.deployment import Deployment, deployment
from tests.support.snapshots import resource

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  a: {endpoints: [<one>], health_check: false}
  b: {endpoints: [<two>], health_check: false}
models:
  m: {pool: a}
  n: {pool: b}
"""
SERVERS = {"a": "one", "b": "two"}
EDITS = 20


@asynccontextmanager
async def running(folder, variant):
    async with deployment(REGISTRY, ("one", "two"), folder, variant) as deployed:
        yield deployed


async def answer(deployed: Deployment, query: str = "") -> dict:
    """Return what `GET /wait` answers: what the command asks, without the start of a process."""
    _, ready = deployed.control_plane.running
    url = f"http://{ready.status_address}/wait?within=20{query}"
    async with deployed.session.get(url) as response:
        return await response.json()


async def wait(deployed: Deployment, *arguments: str) -> command.Ended:
    _, ready = deployed.control_plane.running
    return await command.run("wait", "--status-url", f"http://{ready.status_address}", *arguments)


def save(deployed: Deployment, text: str) -> None:
    deployed.registry.write_text(deployed.fill(text))


def refuse(deployed: Deployment, name: str) -> None:
    """Serve, in place of the cluster *name*, one that no Envoy takes."""
    control_plane, _ = deployed.control_plane.running
    snapshot = control_plane.store.current.goal
    nodes = {}
    for node_cluster, node in snapshot.nodes.items():
        clusters = dict(node.types[CLUSTER].resources)
        clusters[name] = _bad(clusters[name])
        types = {**node.types, CLUSTER: TypeSnapshot.of(clusters.values())}
        nodes[node_cluster] = NodeSnapshot.of(node.gateway, types)
    control_plane.store.publish(Snapshot.of(nodes))


def _bad(good: Resource) -> Resource:
    message = cluster_pb2.Cluster.FromString(good.body)
    message.connect_timeout.seconds = -1
    return resource(CLUSTER, good.name, message.SerializeToString(), good.origin)


async def test_an_edit_that_was_waited_for_is_never_answered_by_the_old_pool(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        for number in range(EDITS):
            pool = "ba"[number % 2]
            save(deployed, REGISTRY.replace("m: {pool: a}", f"m: {{pool: {pool}}}"))
            verdict = await answer(deployed)
            answers = [await deployed.chat("m") for _ in range(3)]

            assert verdict["outcome"] == "converged"
            assert {each.server for each in answers} == {SERVERS[pool]}


async def test_the_command_waits_for_an_edit_and_tells_the_revision_that_runs(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        save(deployed, REGISTRY.replace("m: {pool: a}", "m: {pool: b}"))
        ended = await wait(deployed)
        server = (await deployed.chat("m")).server
        status = await deployed.status()
        control_plane, _ = deployed.control_plane.running
        edits = "modelyard_edit_to_converged_seconds_count"
        async with asyncio.timeout(10):
            while control_plane.metrics.get_sample_value(edits) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    assert (ended.code, ended.stderr, server) == (0, "", "two")
    assert ended.stdout.startswith(f"revision {status['revision']} runs on 1 Envoy (")
    (node,) = status["nodes"]
    assert [each["type"] for each in node["types"]] == ["cds", "eds", "lds", "srds", "rds"]
    assert all(each["sent"] == each["acked"] for each in node["types"])
    assert all(each["converged"] for each in node["types"])


async def test_a_refusal_ends_the_wait_with_envoys_words_and_the_place_in_the_file(
    variant, tmp_path
):
    async with running(tmp_path, variant) as deployed:
        refuse(deployed, "pool/a")
        refused = await wait(deployed)
        (node,) = (await deployed.status())["nodes"]
        types = {each["type"]: each for each in node["types"]}

        assert (refused.code, refused.stdout) == (1, "")
        assert refused.stderr.splitlines()[0] == "envoy-1 refuses Cluster pool/a"
        assert "  Envoy says: " in refused.stderr
        assert "duration" in refused.stderr
        assert f"  it comes from {deployed.registry}:4:3 (pools.a)" in refused.stderr
        assert not types["cds"]["converged"]
        assert types["rds"]["converged"]

        save(deployed, REGISTRY.replace("m: {pool: a}", "m: {pool: b}"))
        repaired = await answer(deployed)
        (node,) = (await deployed.status())["nodes"]

        assert repaired["outcome"] == "converged"
        assert node["rejected"] is None
        assert node["last_rejected"]["resource"] == "pool/a"


async def test_an_envoy_that_does_not_answer_is_named_at_the_timeout(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        deployed.envoy.process.send_signal(signal.SIGSTOP)
        try:
            save(deployed, REGISTRY.replace("m: {pool: a}", "m: {pool: b}"))
            late = await wait(deployed, "--timeout", "500ms")
        finally:
            deployed.envoy.process.send_signal(signal.SIGCONT)
        awake = await answer(deployed)

    assert late.code == 1
    assert late.stderr.splitlines()[0] == "not within 0.5 s: not every Envoy has accepted it"
    assert "envoy-1 is not there yet, and runs " in late.stderr
    assert awake["outcome"] == "converged"


async def test_an_envoy_that_is_missing_is_waited_for_if_it_is_counted(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        late = await wait(deployed, "--nodes", "2", "--timeout", "200ms")

    assert late.code == 1
    assert "2 Envoys are waited for, and 1 are connected" in late.stderr


async def test_an_edit_that_was_made_while_no_control_plane_ran_is_waited_for(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        await deployed.control_plane.stop()
        save(deployed, REGISTRY.replace("m: {pool: a}", "m: {pool: b}"))
        await deployed.control_plane.start()
        verdict = await answer(deployed, "&nodes=1")

        assert verdict["outcome"] == "converged"
        assert (await deployed.chat("m")).server == "two"
