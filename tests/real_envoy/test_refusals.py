"""What a real Envoy refuses is said once, harms nothing else, and is forgotten when repaired."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, TypeUrl
from tests.support.deployment import Deployment, deployment
from tests.support.snapshots import resource
from xds_server.demo.envoy import running_envoy
from xds_server.node_status import NodeStatus

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

TIMEOUT_S = 10.0


@asynccontextmanager
async def running(folder, variant):
    async with deployment(REGISTRY, ("one", "two"), folder, variant) as deployed:
        yield deployed


def with_resources(snapshot: Snapshot, *changed: Resource) -> Snapshot:
    """Return *snapshot* with some resources in place of those of the same names."""
    nodes = {}
    for node_cluster, node in snapshot.nodes.items():
        types = dict(node.types)
        for one in changed:
            others = [r for r in types[one.type_url].resources.values() if r.name != one.name]
            types[one.type_url] = TypeSnapshot.of([*others, one])
        nodes[node_cluster] = NodeSnapshot.of(node.gateway, types)
    return snapshot.with_nodes(nodes)


def current(deployed: Deployment) -> Snapshot:
    control_plane, _ = deployed.control_plane.running
    return control_plane.store.current.snapshot


def publish(deployed: Deployment, snapshot: Snapshot) -> None:
    control_plane, _ = deployed.control_plane.running
    control_plane.store.publish(snapshot)


def found(deployed: Deployment, type_url: TypeUrl, name: str) -> Resource:
    return current(deployed).for_node("default").types[type_url].resources[name]


def bad_cluster(good: Resource) -> Resource:
    message = cluster_pb2.Cluster.FromString(good.body)
    message.connect_timeout.seconds = -1
    return resource(CLUSTER, good.name, message.SerializeToString(), good.origin)


def node(deployed: Deployment) -> NodeStatus:
    control_plane, _ = deployed.control_plane.running
    (status,) = [n for n in control_plane.fleet.nodes() if n.connected]
    return status


async def until(deployed: Deployment, holds) -> NodeStatus:
    async with asyncio.timeout(TIMEOUT_S):
        while not holds(node(deployed)):  # noqa: ASYNC110 - Envoy's answer is awaited
            await asyncio.sleep(0.005)
    return node(deployed)


def counted(deployed: Deployment, name: str) -> float:
    """Return the sum of the control plane's counter *name* over all types."""
    control_plane, _ = deployed.control_plane.running
    return sum(
        sample.value
        for metric in control_plane.metrics.collect()
        for sample in metric.samples
        if sample.name == name
    )


async def warming_clusters(deployed: Deployment) -> int:
    name = "cluster_manager.warming_clusters"
    return (await deployed.stats(name))[name]


async def rejected_updates(deployed: Deployment) -> int:
    return sum((await deployed.stats(r"\.update_rejected$")).values())


async def test_a_refused_cluster_is_told_once_and_blocks_no_other_edit(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        before = counted(deployed, "modelyard_xds_responses_total")
        good = current(deployed)
        publish(deployed, with_resources(good, bad_cluster(found(deployed, CLUSTER, "pool/a"))))
        status = await until(deployed, lambda n: n.rejected)
        await deployed.chat("m")

        assert status.rejected.resource == "pool/a"
        assert "duration" in status.rejected.error_detail
        assert "registry.yaml:" in status.rejected.registry_place
        sent = counted(deployed, "modelyard_xds_responses_total") - before
        assert sent == 2  # with the endpoints that follow
        assert await rejected_updates(deployed) == 1
        assert (await deployed.chat("m")).server == "one"

        publish(deployed, good)
        status = await until(deployed, lambda n: n.converged)
        assert status.rejected is None


async def test_traffic_stays_where_it_is_while_the_cluster_it_should_move_to_is_refused(
    variant, tmp_path
):
    async with running(tmp_path, variant) as deployed:
        await deployed.edit("m: {pool: a}", "m: {pool: b}")
        moved = current(deployed)
        await deployed.edit("m: {pool: b}", "m: {pool: a}")
        message = cluster_pb2.Cluster.FromString(found(deployed, CLUSTER, "pool/b").body)
        message.name = "pool/c"
        message.connect_timeout.seconds = -1
        new = resource(CLUSTER, "pool/c", message.SerializeToString())
        assignment = endpoint_pb2.ClusterLoadAssignment.FromString(
            found(deployed, ENDPOINT, "pool/b").body
        )
        assignment.cluster_name = "pool/c"
        servers = resource(ENDPOINT, "pool/c", assignment.SerializeToString())
        routes = route_pb2.RouteConfiguration.FromString(
            moved.for_node("default")
            .types[ROUTE]
            .resources["model/m"]
            .body.replace(b"pool/b", b"pool/c")
        )
        route = resource(ROUTE, "model/m", routes.SerializeToString())

        publish(deployed, with_resources(current(deployed), new, servers, route))
        await until(deployed, lambda n: n.rejected)

        for _ in range(20):
            assert (await deployed.chat("m")).server == "one"

        message.connect_timeout.seconds = 1
        good = resource(CLUSTER, "pool/c", message.SerializeToString())
        publish(deployed, with_resources(current(deployed), good))
        await until(deployed, lambda n: n.converged)
        assert (await deployed.chat("m")).server == "two"


async def test_what_was_taken_back_and_comes_once_more_is_offered_once_more(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        good = current(deployed)
        bad = with_resources(good, bad_cluster(found(deployed, CLUSTER, "pool/a")))
        for times in (1, 2):
            publish(deployed, bad)
            await until(deployed, lambda n: n.rejected)
            assert await rejected_updates(deployed) == times

            publish(deployed, good)
            await until(deployed, lambda n: n.converged)
            assert (await deployed.chat("m")).server == "one"


async def test_a_refused_route_harms_only_itself(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        good = current(deployed)
        changed = []
        for name, bad in (("model/m", True), ("model/n", False)):
            message = route_pb2.RouteConfiguration.FromString(found(deployed, ROUTE, name).body)
            if bad:
                message.virtual_hosts[0].domains.append("*")
            else:
                message.response_headers_to_add.add().header.key = "x-edited"
                message.response_headers_to_add[0].header.value = "yes"
            changed.append(resource(ROUTE, name, message.SerializeToString()))

        publish(deployed, with_resources(good, *changed))
        status = await until(deployed, lambda n: n.rejected)

        assert status.rejected.resource == "model/m"
        answers = {name: await deployed.chat(name) for name in ("m", "n")}
        assert answers["m"].server == "one"
        assert answers["n"].headers.get("x-edited") == "yes"
        assert counted(deployed, "modelyard_xds_rejections_total") == 1


async def test_bad_endpoints_leave_a_changed_cluster_with_its_servers(variant, tmp_path):
    async with running(tmp_path, variant) as deployed:
        message = cluster_pb2.Cluster.FromString(found(deployed, CLUSTER, "pool/a").body)
        message.connect_timeout.seconds = 7
        changed = resource(CLUSTER, "pool/a", message.SerializeToString())
        assignment = endpoint_pb2.ClusterLoadAssignment.FromString(
            found(deployed, ENDPOINT, "pool/a").body
        )
        assignment.policy.overprovisioning_factor.value = 0
        bad = resource(ENDPOINT, "pool/a", assignment.SerializeToString())

        publish(deployed, with_resources(current(deployed), changed, bad))
        await until(deployed, lambda n: n.rejected)
        async with asyncio.timeout(TIMEOUT_S):
            while await warming_clusters(deployed):  # noqa: ASYNC110 - Envoy is asked
                await asyncio.sleep(0.01)

        for _ in range(10):
            assert (await deployed.chat("m")).server == "one"


async def test_an_envoy_that_could_not_have_its_port_gets_it_when_it_starts_again(
    variant, tmp_path
):
    async with running(tmp_path, variant) as deployed:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            message = listener_pb2.Listener.FromString(
                found(deployed, LISTENER, "gateway/default").body
            )
            message.name = "gateway/second"
            message.stat_prefix = "second"
            message.address.socket_address.port_value = port
            second = resource(LISTENER, message.name, message.SerializeToString())
            publish(deployed, with_resources(current(deployed), second))
            status = await until(deployed, lambda n: n.rejected)
            assert status.rejected.resource == "gateway/second"
            assert (await deployed.chat("m")).server == "one"

        folder = tmp_path / "again"
        folder.mkdir()
        deployed.envoy.process.terminate()
        await deployed.envoy.process.wait()
        async with running_envoy(deployed.bootstrap(), folder) as deployed.envoy:
            await until(deployed, lambda n: n.converged)
            assert (await deployed.chat("m")).server == "one"


async def test_an_envoy_that_starts_after_a_refusal_runs_what_was_accepted_before(
    variant, tmp_path
):
    async with running(tmp_path, variant) as deployed:
        publish(
            deployed,
            with_resources(current(deployed), bad_cluster(found(deployed, CLUSTER, "pool/a"))),
        )
        await until(deployed, lambda n: n.rejected)

        folder = tmp_path / "again"
        folder.mkdir()
        deployed.envoy.process.terminate()
        await deployed.envoy.process.wait()
        async with running_envoy(deployed.bootstrap(), folder) as deployed.envoy:
            assert await rejected_updates(deployed) == 0
            assert (await deployed.chat("m")).server == "one"
