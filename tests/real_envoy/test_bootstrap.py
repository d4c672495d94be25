"""A real Envoy reads the bootstrap as it is meant."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from xds_server.address import Address
from xds_server.bootstrap import Bootstrap, UnixPath, render_bootstrap
from xds_server.demo.envoy import find_envoy, running_envoy

pytestmark = pytest.mark.envoy

LOCAL = Address("127.0.0.1", 0)


async def ask(bootstrap: Bootstrap, folder, *paths: str) -> list:
    """Return what an Envoy of *bootstrap* answers to each of *paths* of its admin interface.

    Without a control plane it gives up waiting for one and starts with what it has.
    """
    text = render_bootstrap(bootstrap).replace(
        "  cds_config:\n", "  # nobody is there\n  cds_config:\n    initial_fetch_timeout: 0.01s\n"
    )
    text = text.replace("  lds_config:\n", "  lds_config:\n    initial_fetch_timeout: 0.01s\n")
    async with running_envoy(text, folder) as envoy, aiohttp.ClientSession() as session:
        answers = []
        for path in paths:
            async with session.get(f"http://{envoy.admin_address}{path}") as answer:
                answers.append(await answer.json(content_type=None))
        return answers


@pytest.mark.parametrize("text", ["n", "1e3", "no: x", "#\"é'\\🦙"])
async def test_a_text_stays_a_text(text, tmp_path):
    bootstrap = Bootstrap(
        node_id=text,
        node_cluster=text,
        xds=(Address("127.0.0.1", 1),),
        ext_proc=(UnixPath(str(tmp_path / "n")),),
        admin=LOCAL,
        variant="delta",
    )

    [info] = await ask(bootstrap, tmp_path, "/server_info")

    assert (info["node"]["id"], info["node"]["cluster"]) == (text, text)


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_ipv6_addresses_and_names_of_hosts_are_resolved(variant, tmp_path):
    bootstrap = Bootstrap(
        node_id="envoy-1",
        node_cluster="default",
        xds=(Address("::1", 1),),
        ext_proc=(Address("localhost", 2),),
        admin=Address("::1", 0),
        variant=variant,
    )

    [clusters] = await ask(bootstrap, tmp_path, "/clusters?format=json")

    assert {
        cluster["name"]: [
            (
                host["address"]["socket_address"]["address"],
                host["address"]["socket_address"]["port_value"],
            )
            for host in cluster.get("host_statuses", ())
        ]
        for cluster in clusters["cluster_statuses"]
    } == {"modelyard-xds": [("::1", 1)], "modelyard-ext-proc": [("127.0.0.1", 2)]}


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_envoy_takes_an_admin_interface_at_a_unix_socket_and_bounds(variant, tmp_path):
    bootstrap = Bootstrap(
        node_id="envoy-1",
        node_cluster="default",
        xds=(Address("127.0.0.1", 1),),
        ext_proc=(UnixPath(str(tmp_path / "n")),),
        admin=UnixPath(str(tmp_path / "admin.sock")),
        variant=variant,
        max_heap_bytes=2**28,
        max_connections=17,
    )
    path = tmp_path / "envoy.yaml"
    path.write_text(render_bootstrap(bootstrap))

    envoy = await asyncio.create_subprocess_exec(
        find_envoy(), "--mode", "validate", "--config-path", str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await envoy.communicate()

    assert envoy.returncode == 0, said.decode()
