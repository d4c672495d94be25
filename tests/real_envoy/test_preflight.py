"""`serve --preflight`: what the real Envoy refuses is not published, and the entry is named."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from prometheus_client import CollectorRegistry

from snapshots.build import SnapshotBuilder
from snapshots.material import Content
from snapshots.registry.loader import RegistryError, load_registry
from snapshots.registry.mentions import mentions
from snapshots.snapshot import NodeSnapshot, Resource, Snapshot, TypeSnapshot
from snapshots.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE, SECRET
from tests.support import serve_process
from tests.support.certificates import Authority
from tests.support.command import ready
from tests.support.serve_process import READY, Serving
from xds_server.envoy_binary import find_envoy
from xds_server.preflight.check import Preflight
from xds_server.preflight.envoy import EnvoyValidator
from xds_server.preflight.metrics import PreflightMetrics

pytestmark = pytest.mark.envoy

GOLDEN = Path(__file__).parents[1] / "golden" / "cases"
CASES = sorted(listed.parent for listed in GOLDEN.glob("*/listeners.yaml"))

REGISTRY = """\
version: 1
gateways: {default: {tls: {certificate: c, key: k}, access_log: /nowhere/at/all.log}}
pools:
  a: {endpoints: [10.0.0.1:8000], model: org/a}
  b: {endpoints: [10.0.0.2:8000], tls: {ca: ca, server_name: models.internal}}
  c: {endpoints: [models.internal:8000]}
models:
  one: {pool: a, aliases: [first]}
  two: {split: {a: 70, b: 30}, mirror: {pool: c}}
  three: {pool: c, fallback: [a]}
auth:
  clients: {team: {key_env: TEAM_KEY}}
  upstream: {c: {value_env: C_KEY}}
"""
SERVED = """\
version: 1
pools:
  a: {endpoints: [10.0.0.1:8000]}
models:
  one: {pool: a}
"""
NEW_MODEL = "  refused-model: {pool: a}\n"


def material(registry):
    authority = Authority()
    certificate, key = authority.issue("gateway.internal")
    forms = {
        "certificate": certificate, "key": key, "authorities": authority.pem,
        "text": b"secret", "client key": b"0123456789abcdef0123456789abcdef",
    }  # fmt: skip
    return {mention.source: Content(forms[mention.form]) for mention in mentions(registry)}


def snapshot_of(text: str) -> Snapshot:
    registry = load_registry(text.encode(), "registry.yaml")
    return SnapshotBuilder().build(registry, material(registry))


def preflight(timeout_s: float = 30) -> Preflight:
    metrics = PreflightMetrics(CollectorRegistry())
    return Preflight(EnvoyValidator(find_envoy()), timeout_s, metrics)


def with_resources(snapshot: Snapshot, *changed: Resource) -> Snapshot:
    (node_cluster, node), = snapshot.nodes.items()  # fmt: skip
    types = dict(node.types)
    for one in changed:
        types[one.type_url] = TypeSnapshot.of(
            {**types[one.type_url].resources, one.name: one}.values()
        )
    return Snapshot.of({node_cluster: NodeSnapshot.of(node.gateway, types)})


def broken(snapshot: Snapshot, type_url: str, name: str, message, break_it) -> Resource:
    (node,) = snapshot.nodes.values()
    good = node.types[type_url].resources[name]
    read = message.FromString(good.body)
    break_it(read)
    return Resource.of(type_url, name, read.SerializeToString(), good.origin)


def _refuse_cluster(cluster):
    cluster.outlier_detection.max_ejection_percent.value = 300


def _refuse_endpoints(assignment):
    assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value = 70_000


def _refuse_routes(routes):
    routes.virtual_hosts[0].routes[0].match.safe_regex.regex = "("


def _refuse_scope(scope):
    del scope.key.fragments[:]


def _refuse_listener(listener):
    listener.filter_chains.add().CopyFrom(listener.filter_chains[0])


def _refuse_secret(secret):
    secret.validation_context.trusted_ca.inline_bytes = b"no certificate"


BROKEN = {
    "cluster": (CLUSTER, "pool-authorization/a", Cluster, _refuse_cluster, "4:3: pools.a"),
    "endpoints": (
        ENDPOINT, "pool/b", ClusterLoadAssignment, _refuse_endpoints, "5:7: pools.b.endpoints"
    ),
    "routes": (ROUTE, "model/two", RouteConfiguration, _refuse_routes, "9:3: models.two"),
    "scope": (
        SCOPED_ROUTE, "model/one", ScopedRouteConfiguration, _refuse_scope, "8:3: models.one"
    ),
    "listener": (
        LISTENER, "gateway/default", Listener, _refuse_listener, "2:12: gateways.default"
    ),
    "secret": (SECRET, "pools/b/ca", Secret, _refuse_secret, "5:41: pools.b.tls.ca"),
}  # fmt: skip


async def test_envoy_takes_everything_that_a_registry_can_ask_for():
    await preflight().check(snapshot_of(REGISTRY), REGISTRY.encode(), "registry.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_envoy_takes_every_golden_case(case):
    text = (case / "registry.yaml").read_text()

    await preflight().check(snapshot_of(text), text.encode(), "registry.yaml")


@pytest.mark.parametrize("of_type", BROKEN)
@pytest.mark.parametrize("before", [None, REGISTRY], ids=["at the start", "in an edit"])
async def test_what_envoy_refuses_is_blamed_on_its_entry_alone(of_type, before):
    type_url, name, message, break_it, place = BROKEN[of_type]
    good = snapshot_of(REGISTRY)
    bad = with_resources(good, broken(good, type_url, name, message, break_it))
    checked = preflight()
    if before:
        await checked.check(good, before.encode(), "registry.yaml")

    with pytest.raises(RegistryError) as refused:
        await checked.check(bad, REGISTRY.encode(), "registry.yaml")

    kind = type_url.rpartition(".")[2]
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"registry.yaml:{place}: Envoy refuses {kind} {name}: ")
    assert "debug" not in line


async def test_several_that_are_refused_are_all_named():
    good = snapshot_of(REGISTRY)
    some = [BROKEN[of_type] for of_type in ("cluster", "routes", "endpoints")]
    bad = with_resources(good, *(broken(good, *one[:4]) for one in some))

    with pytest.raises(RegistryError) as refused:
        await preflight().check(bad, REGISTRY.encode(), "registry.yaml")

    assert [line.split(" Envoy")[0] for line in str(refused.value).splitlines()] == [
        f"registry.yaml:{one[4]}:" for one in sorted(some, key=lambda one: one[4])
    ]


async def test_a_check_that_takes_too_long_refuses():
    with pytest.raises(RegistryError, match="takes too long"):
        await preflight(timeout_s=0).check(snapshot_of(SERVED), SERVED.encode(), "registry.yaml")


# --- the control plane ---


@asynccontextmanager
async def serving(registry, *arguments):
    """Serve *registry* with the defects of `tests.support.sabotage`."""
    addresses = ("--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0")
    program = ("-m", "tests.support.sabotage")
    started = ready(
        "serve", registry, *addresses, "--preflight", *arguments, program=program
    )  # fmt: skip
    async with started as (process, line):
        told = READY.fullmatch(line)
        yield Serving(process, line, told["xds"], told["status"], told["revision"], 1)


async def status(serve: Serving, wanted) -> dict:
    async with aiohttp.ClientSession() as session:
        while True:
            answer = await (await session.get(f"{serve.status_url}/status")).json()
            if wanted(answer):
                return answer


async def log_line(serve: Serving, event: str) -> str:
    while line := (await serve.process.stderr.readline()).decode():
        if event in line:
            return line
    raise AssertionError(event)


async def test_an_edit_that_envoy_refuses_is_not_published_and_one_that_repairs_it_is(tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text(SERVED)

    async with serving(registry) as serve:
        registry.write_text(SERVED + NEW_MODEL)
        refused = await log_line(serve, "registry.refused")
        meanwhile = await status(serve, lambda told: told["registry"]["error"])
        registry.write_text(SERVED + NEW_MODEL.replace("refused-model", "good-model"))
        await log_line(serve, "snapshot.published")
        repaired = await status(serve, lambda told: told["revision"] != serve.revision)

    place = f"{registry}:6:3: models.refused-model: Envoy refuses RouteConfiguration "
    assert f"{place}model/refused-model: Invalid duration" in refused
    assert meanwhile["revision"] == serve.revision
    assert place in meanwhile["registry"]["error"]
    assert repaired["registry"]["error"] is None


async def test_a_file_that_envoy_refuses_at_the_start_is_not_served(tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text(SERVED + NEW_MODEL)

    with pytest.raises(AssertionError, match=r"not ready.*code=1.*Envoy refuses RouteConfig"):
        async with serving(registry):
            pass


async def test_without_the_flag_nobody_is_asked(tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text(SERVED)

    async with serve_process.serving(registry, PATH="/nowhere") as serve:
        assert serve.revision


async def test_the_flag_without_an_envoy_is_told_at_the_start(tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text(SERVED)

    ended = await serve_process.run(
        registry, "--preflight", "--envoy-path", tmp_path / "envoy",
        "--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0",
    )  # fmt: skip

    assert ended.code == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"{tmp_path}/envoy is no program that can be run (hint: --envoy-path)\n"
    )


async def test_the_envoy_that_judges_is_told_and_what_it_judged_is_counted(tmp_path):
    registry = tmp_path / "registry.yaml"
    registry.write_text(SERVED)

    async with serving(registry, "--log-format", "json") as serve:
        told = json.loads(await log_line(serve, "preflight.ready"))
        async with aiohttp.ClientSession() as session:
            metrics = await (await session.get(f"{serve.status_url}/metrics")).text()

    assert re.fullmatch(r"1\.\d+\.\d+", told["envoy_version"])
    assert 'modelyard_preflight_checks_total{result="passed"} 1.0\n' in metrics
