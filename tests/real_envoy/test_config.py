"""What Envoy runs is what the control plane means, and nothing of it is refused."""

import asyncio
import json
import sys
from typing import Any

import pytest
from google.protobuf.json_format import MessageToJson, ParseDict

from snapshots.render import SECTIONS, render
from tests.support.deployment import Deployment, deployment
from xds_server.envoy_binary import find_envoy

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  llama-1b:
    endpoints: [{address: "<a>", weight: 2, zone: x}, {address: "<b>", zone: y}]
    model: meta-llama/Llama-3.2-1B-Instruct
    adapters: [food-review, модель/ü]
    health_check: {path: /health, interval: 2s, timeout: 1s}
  llama-3b: {endpoints: ["<b>"], load_balancing: ring_hash, health_check: false}
  by-name: {endpoints: [localhost:9], health_check: false}
models:
  llama-3-2-1b: {pool: llama-1b, aliases: [small], paths: [/v1/1b]}
  llama-3-2-3b: {pool: llama-3b, timeout: 5s, idle_timeout: 0s}
  auto: {split: {llama-1b: 70, llama-3b: 30, by-name: 0}, paths: [/v1/ab-test, /team]}
"""
EDITS = [
    ("70", "71"),
    ("  llama-3-2-3b: {pool: llama-3b, timeout: 5s, idle_timeout: 0s}\n", ""),
    ("aliases: [small], ", "aliases: [tiny, little], "),
    ("llama-3b: 30, by-name: 0", "by-name: 30"),
    ("zone: y}]", "zone: x}]"),
    ("    adapters: [food-review, модель/ü]\n", ""),
    ("paths: [/v1/1b]", "paths: [/v1/1b], rate_limit: {requests_per_second: 10, burst: 20}"),
    ("    health_check: {path: /health", "    max_requests: 9\n    health_check: {path: /health"),
    ("{pool: llama-1b, ", "{pool: llama-1b, priority: sheddable, "),
    ("priority: sheddable", "priority: critical"),
]


def as_modelyard_means(deployed: Deployment) -> dict[str, list[dict[str, Any]]]:
    control_plane, _ = deployed.control_plane.running
    return render(control_plane.store.current.snapshot.for_node("default"))


async def as_envoy_runs(deployed: Deployment) -> dict[str, list[dict[str, Any]]]:
    """Return Envoy's own resources by section, without those of its bootstrap."""
    dumps = (await deployed.admin("/config_dump?include_eds"))["configs"]
    found = {key: value for dump in dumps for key, value in dump.items() if "dynamic" in key}
    resources = {
        "listeners": [each["active_state"]["listener"] for each in found["dynamic_listeners"]],
        "scoped_routes": found["dynamic_scoped_route_configs"][0]["scoped_route_configs"],
        "routes": [each["route_config"] for each in found["dynamic_route_configs"]],
        "clusters": [each["cluster"] for each in found["dynamic_active_clusters"]],
        "endpoints": [each["endpoint_config"] for each in found["dynamic_endpoint_configs"]],
    }
    return {
        section: [_plain(section, each) for each in dumped] for section, dumped in resources.items()
    }


def _plain(section: str, dumped: dict[str, Any]) -> dict[str, Any]:
    """Return *dumped* in the words of `render`."""
    _, message = SECTIONS[section]
    without_type = {key: value for key, value in dumped.items() if key != "@type"}
    read = ParseDict(without_type, message(), ignore_unknown_fields=True)
    plain = json.loads(MessageToJson(read, preserving_proto_field_name=True))
    # The one field that our messages, older than Envoy, do not know.
    for policy, dumped_policy in zip(retry_policies(plain), retry_policies(dumped), strict=True):
        if "refresh_cluster_on_retry" in dumped_policy:
            policy["refresh_cluster_on_retry"] = dumped_policy["refresh_cluster_on_retry"]
    return plain


def retry_policies(resource: dict[str, Any]) -> list[dict[str, Any]]:
    routes = [route for host in resource.get("virtual_hosts", []) for route in host["routes"]]
    actions = [route.get("route", {}) for route in routes]
    return [action["retry_policy"] for action in actions if "retry_policy" in action]


def by_name(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(resources, key=lambda each: each["name"])


def servers(assignment: dict[str, Any]) -> set[tuple[str, int, str, int]]:
    """Return the servers of a load assignment, which Envoy shows with words of its own."""
    return {
        (
            server["endpoint"]["address"]["socket_address"]["address"],
            server["endpoint"]["address"]["socket_address"]["port_value"],
            locality.get("locality", {}).get("zone", ""),
            server.get("load_balancing_weight", 1),
        )
        for locality in assignment.get("endpoints", [])
        for server in locality["lb_endpoints"]
    }


async def assert_envoy_runs_the_snapshot(deployed: Deployment) -> None:
    meant, runs = as_modelyard_means(deployed), await as_envoy_runs(deployed)
    for section in ("listeners", "scoped_routes", "routes", "clusters"):
        assert by_name(runs[section]) == by_name(meant[section])
    shown = {each["cluster_name"]: servers(each) for each in runs["endpoints"]}
    assert {each["cluster_name"]: servers(each) for each in meant["endpoints"]}.items() <= (
        shown.items()
    )
    assert set(shown) == {each["name"] for each in meant["clusters"]}


async def assert_nothing_was_refused(deployed: Deployment) -> None:
    refusals = await deployed.stats("update_rejected$")
    warming = await deployed.stats("^(cluster_manager.warming_clusters|.*listeners_warming)$")

    assert len(refusals) > 5
    assert set(refusals.values()) == {0}
    assert set(warming.values()) == {0}


async def test_envoy_runs_exactly_the_snapshot_after_every_edit(variant, tmp_path):
    async with deployment(REGISTRY, ("a", "b"), tmp_path, variant) as deployed:
        await assert_envoy_runs_the_snapshot(deployed)
        for old, new in EDITS:
            await deployed.edit(old, new)
            await assert_envoy_runs_the_snapshot(deployed)
        await deployed.write("version: 1\n")
        await assert_envoy_runs_the_snapshot(deployed)
        await deployed.write(REGISTRY)
        await assert_envoy_runs_the_snapshot(deployed)
        await assert_nothing_was_refused(deployed)
        log = deployed.envoy.log.read_text()

    # Not even a warning, such as of a deprecated field.
    assert log == ""


async def test_the_printed_bootstrap_is_valid(variant, tmp_path):
    bootstrap = await run(
        *(sys.executable, "-m", "xds_server", "bootstrap", "--variant", variant),
        *("--node-id", "envoy-1", "--ext-proc-address", f"unix:{tmp_path}/ext-proc.sock"),
    )
    path = tmp_path / "bootstrap.yaml"
    path.write_text(bootstrap)
    said = await run(find_envoy(), "--mode", "validate", "--config-path", str(path))

    assert f"configuration '{path}' OK" in said


async def run(*command: str) -> str:
    """Run *command* and return its stdout; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()
