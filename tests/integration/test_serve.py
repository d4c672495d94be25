"""`modelyard serve` as a process: what it prints, where it listens, how it ends."""

import asyncio
import json
import signal
import socket

import aiohttp
import grpc
import pytest

from tests.support import serve_process
from tests.support.cluster_stream import cluster_stream
from tests.support.serve_process import serving

REGISTRY = """\
version: 1
pools:
  llama-1b: {endpoints: ["127.0.0.1:9001"]}
  llama-3b: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {pool: llama-1b}
  large: {pool: llama-3b}
  auto: {split: {llama-1b: 70, llama-3b: 30}}
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken.getsockname()[1]


async def get_json(url: str) -> tuple[int, dict]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


async def test_one_line_tells_that_everything_is_served_and_where(registry):
    async with serving(registry) as control_plane:
        code, status = await get_json(control_plane.status_url + "/status")
        ready, _ = await get_json(control_plane.status_url + "/readyz")
        host, _, port = control_plane.xds_address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()

        assert control_plane.models == 3
        assert (code, ready) == (200, 200)
        assert status["revision"] == control_plane.revision
        assert status["registry"]["path"] == str(registry)
        assert status["registry"]["error"] is None
        assert status["nodes"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order_with_exit_code_0(registry, number):
    async with serving(registry) as control_plane:
        ended = await control_plane.stop(number)

    assert ended.code == 0
    assert ended.stdout == ""
    assert "server.stopped" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_second_signal_does_not_disturb_the_stop(registry):
    """As a terminal and a supervisor may both send one."""
    async with serving(registry) as control_plane:
        reader, writer = await asyncio.open_connection(*control_plane.xds_address.split(":"))
        await reader.readexactly(1)  # connected: the stop waits a moment for this client
        control_plane.process.send_signal(signal.SIGINT)
        ended = await control_plane.stop(signal.SIGTERM)
        writer.close()

    assert ended.code == 0
    assert "server.stopped" in ended.stderr


async def test_a_stop_ends_streams_so_that_envoys_look_for_another_control_plane(registry):
    async with (
        serving(registry) as control_plane,
        cluster_stream(control_plane.xds_address) as envoy,
    ):
        await envoy.next()
        control_plane.process.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await envoy.next()

    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_the_same_file_has_the_same_revision_after_a_restart(registry):
    async with serving(registry) as first, serving(registry) as second:
        assert first.revision == second.revision


async def test_addresses_may_come_from_the_environment(registry):
    ended = await serve_process.run(registry, MODELYARD_XDS_ADDRESS="nonsense")

    assert ended.code == 2
    assert "'nonsense' is not HOST:PORT" in ended.stderr


async def test_ipv6_addresses_have_brackets(registry):
    async with serving(registry, xds_address="[::1]:0", status_address="[::1]:0") as control_plane:
        assert control_plane.xds_address.startswith("[::1]:")
        assert (await get_json(control_plane.status_url + "/readyz"))[0] == 200


async def test_logs_are_json_lines_on_stderr_if_asked_for(registry):
    async with serving(registry, "--log-format", "json") as control_plane:
        ended = await control_plane.stop()

    events = [json.loads(line)["event"] for line in ended.stderr.splitlines()]
    assert events[0] == "registry.loaded"
    assert events[-1] == "server.stopped"


async def test_a_missing_file_is_said_in_one_line_with_exit_code_1(tmp_path):
    missing = tmp_path / "registry.yaml"

    ended = await serve_process.run(missing)

    assert ended == serve_process.Ended(1, "", f"{missing} does not exist\n")


async def test_a_directory_is_no_registry(tmp_path):
    ended = await serve_process.run(tmp_path)

    assert ended == serve_process.Ended(1, "", f"{tmp_path} cannot be read: Is a directory\n")


async def test_a_bad_file_at_start_is_refused_with_every_error(registry):
    registry.write_text(REGISTRY.replace("pool: llama-1b", "pool: no").replace("split", "splat"))

    ended = await serve_process.run(registry)

    assert ended.code == 1
    assert ended.stdout == ""
    assert f"{registry}:6:" in ended.stderr
    assert f"{registry}:8:" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("option", ["--xds-address", "--status-address"])
async def test_a_port_in_use_is_said_with_its_option(registry, option, taken_port):
    addresses = {"--xds-address": "127.0.0.1:0", "--status-address": "127.0.0.1:0"}
    addresses[option] = f"127.0.0.1:{taken_port}"
    arguments = [word for pair in addresses.items() for word in pair]

    ended = await serve_process.run(registry, *arguments)

    assert ended.code == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1] == (
        f"cannot listen on {option} 127.0.0.1:{taken_port}: Address already in use"
    )
    assert "Traceback" not in ended.stderr


async def test_a_second_control_plane_does_not_share_the_port_of_the_first(registry):
    async with serving(registry) as first:
        ended = await serve_process.run(
            registry, "--xds-address", first.xds_address, "--status-address", "127.0.0.1:0"
        )

    assert ended.code == 1
    assert f"--xds-address {first.xds_address}: Address already in use" in ended.stderr


async def test_an_address_of_another_machine_is_said_with_its_option(registry):
    ended = await serve_process.run(registry, "--xds-address", "192.0.2.1:0")

    assert ended.code == 1
    assert "cannot listen on --xds-address 192.0.2.1:0: Cannot assign" in ended.stderr


@pytest.mark.parametrize("option", ["--xds-address", "--status-address"])
async def test_an_address_that_is_none_is_wrong_usage(registry, option):
    ended = await serve_process.run(registry, option, "18000")

    assert ended.code == 2
    assert ended.stdout == ""
    assert f"Invalid value for '{option}': '18000' is not HOST:PORT" in ended.stderr
