"""What Envoy refuses: told once, with its place in the file, and harmless to everything else."""

import asyncio
import socket
from contextlib import contextmanager

import pytest

from tests.support.deployment import SETTLE_TIMEOUT_S, Deployment, deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>"}
pools:
  first: {endpoints: ["<first>"]}
  second: {endpoints: ["<second>"]}
models:
  m: {pool: first}
"""
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


@contextmanager
def port_in_use():
    """Hold a port that Envoy cannot listen on; yields its address."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield "{}:{}".format(*holder.getsockname())


async def refused(deployed: Deployment) -> dict:
    """Wait until Envoy has refused something and return its entry of `GET /status`."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            [node] = (await deployed.status())["nodes"]
            if node["rejected"]:
                return node


async def refusals(deployed: Deployment) -> int:
    return (await deployed.stats("lds.update_rejected"))["listener_manager.lds.update_rejected"]


async def test_a_listener_that_envoy_cannot_open_is_told_with_its_place_and_harms_nothing(
    variant, tmp_path
):
    with port_in_use() as taken:
        async with deployment(REGISTRY, ("first", "second"), tmp_path, variant) as deployed:
            text = deployed.fill(REGISTRY)
            bad = text.replace(str(deployed.gateway), taken)
            deployed.registry.write_text(bad)
            node = await refused(deployed)
            meanwhile = await deployed.chat("m")
            count = await refusals(deployed)

            # What else is edited takes effect, and the listener is not sent again.
            deployed.registry.write_text(bad.replace("m: {pool: first}", "m: {pool: second}"))
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while (await deployed.chat("m")).pool != "second":
                    pass
            still = await refused(deployed)
            count_later = await refusals(deployed)

            await deployed.write(text)
            repaired = await deployed.status()
            after = await deployed.chat("m")

    assert node["rejected"]["type_url"] == LISTENER
    assert node["rejected"]["resource"] == "gateway/default"
    assert "cannot bind" in node["rejected"]["error_detail"]
    assert node["rejected"]["registry_place"].endswith("registry.yaml:3:3 (gateways.default)")
    assert (node["connected"], node["converged"]) == (True, False)
    assert (meanwhile.status, meanwhile.pool) == (200, "first")
    assert still["rejected"] == node["rejected"]
    assert (count, count_later) == (1, 1)
    assert [(n["converged"], n["rejected"]) for n in repaired["nodes"]] == [(True, None)]
    assert (after.status, after.pool) == (200, "first")
