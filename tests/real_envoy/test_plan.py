"""What a plan says that each Envoy is sent is what a real Envoy receives."""

from __future__ import annotations

import asyncio
import json

import pytest

from snapshots.ir.names import XDS_CLUSTER
from snapshots.registry.loader import load_registry
from tests.support.deployment import Deployment, deployment
from xds_server.planning import plan

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  a: {endpoints: ["<one>"]}
  b: {endpoints: ["<two>"]}
  spare: {endpoints: ["<two>"]}
models:
  m: {split: {a: 70, b: 30}}
  n: {pool: b}
  gone: {pool: spare}
"""
FRAMING_BYTES = 40
"""What HTTP/2 and gRPC may add to one message."""
OTHER_BYTES = 300
"""What else may come meanwhile: pings, an empty response to a question that crosses the edit, and
what is asked about a pool that leaves."""
DRAINED_WITHIN_S = 10.0

EDITS = {
    "a weight": ("a: 70", "a: 60"),
    "an alias": ("n: {pool: b}", "n: {pool: b, aliases: [also]}"),
    "a cluster": ("a: {endpoints", "a: {max_requests: 7, endpoints"),
    "a removal": ("  gone: {pool: spare}\n", ""),
    "a listener": ("version: 1\n", "version: 1\nextraction: {max_body: 1MiB}\n"),
}


async def received_bytes(deployed: Deployment) -> int:
    url = f"http://{deployed.envoy.admin_address}/stats?format=json&filter={XDS_CLUSTER}"
    async with deployed.session.get(url) as response:
        stats = json.loads(await response.text())["stats"]
    name = f"cluster.{XDS_CLUSTER}.upstream_cx_rx_bytes_total"
    return next(stat["value"] for stat in stats if stat.get("name") == name)


@pytest.mark.parametrize("edit", EDITS)
async def test_the_bytes_of_a_plan_are_those_on_the_wire(tmp_path, variant, edit):
    async with deployment(REGISTRY, ("one", "two"), tmp_path, variant) as deployed:
        old = load_registry(deployed.registry.read_bytes(), "old")
        before = await received_bytes(deployed)
        await deployed.edit(*EDITS[edit])
        async with asyncio.timeout(DRAINED_WITHIN_S):
            while (await deployed.status())["draining"]:  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(0.05)
        await deployed.converged()
        received = await received_bytes(deployed) - before
        new = load_registry(deployed.registry.read_bytes(), "new")

    (group,) = plan(old, new).groups
    told = group.traffic[variant]
    more = FRAMING_BYTES * told.responses + OTHER_BYTES
    assert told.sent_bytes <= received <= told.sent_bytes + more
