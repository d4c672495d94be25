"""`modelyard ext-proc` as a process: what it prints, how it ends, and its workers."""

from __future__ import annotations

import asyncio
import signal
import socket

import grpc
import pytest

from tests.support.ext_proc_client import Companion, whole_body
from tests.support.ext_proc_process import Ended, companion_process, run

LLAMA = b'{"model": "llama"}'


@pytest.fixture
def unix_address(tmp_path) -> str:
    return f"unix:{tmp_path}/s"


async def name_found_at(address: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        return await Companion(channel, address, asyncio.Event()).name_in(LLAMA)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_line_tells_where_it_is_ready_and_a_signal_ends_it_with_exit_code_0(
    unix_address, number
):
    async with companion_process(unix_address) as running:
        name = await name_found_at(running.address)
        ended = await running.stop(number)

    assert running.address == unix_address
    assert name == "llama"
    assert ended == Ended(0, "", "")


async def test_a_signal_lets_a_call_in_flight_finish(unix_address):
    async with (
        companion_process(unix_address) as running,
        grpc.aio.insecure_channel(unix_address) as channel,
    ):
        client = Companion(channel, unix_address, asyncio.Event())
        call = await client.after_headers()
        running.process.terminate()
        await client.told_to_leave()
        await call.write(whole_body(LLAMA))
        answer = await call.read()
        ended = await running.ended()

    assert answer.request_body.response.clear_route_cache
    assert ended.code == 0


async def test_options_come_from_the_environment():
    ended = await run(MODELYARD_ADDRESS="nonsense")

    assert ended.code == 2
    assert "'nonsense' is not HOST:PORT" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--address", "unix:"], "names no file"),
        (["--address", "127.0.0.1:0", "--take-over"], "--take-over needs a Unix socket"),
        (["--drain-time", "soon"], "'soon' is not a duration, like 50ms, 1.5s or 5m"),
        (["--workers", "0"], "0 is not in the range"),
        (["--max-body", "0"], "it must be from 1 byte to 1GiB"),
        (["--max-body", "lots"], "'lots' is not a size, like 512KiB, 64MiB or 1GiB"),
        (["--metrics-address", "9090"], "'9090' is not HOST:PORT"),
    ],
)
async def test_wrong_usage_is_said_with_exit_code_2(arguments, hint):
    ended = await run(*arguments)

    assert ended.code == 2
    assert ended.stdout == ""
    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_socket_path_that_cannot_be_created_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    address = f"unix:{tmp_path}/file/d/s"

    ended = await run("--address", address)

    assert ended == Ended(
        1, "", f"Error: cannot listen on {address}: Not a directory: {tmp_path}/file/d\n"
    )


async def test_a_socket_in_use_is_said_in_one_line_and_left_alone(unix_address):
    async with companion_process(unix_address):
        ended = await run("--address", unix_address)
        name = await name_found_at(unix_address)

    message = f"Error: cannot listen on {unix_address}: a running process listens there\n"
    assert ended == Ended(1, "", message)
    assert name == "llama"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("option", ["--address", "--metrics-address"])
async def test_a_port_in_use_is_said_in_one_line(option, workers):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        addresses = {"--address": "127.0.0.1:0", option: taken}

        ended = await run(
            "--workers", workers, *(word for pair in addresses.items() for word in pair)
        )

    assert ended.code == 1
    assert ended.stdout == ""
    assert f"Error: cannot listen on {taken}: Address already in use\n" in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_after_a_crash_the_next_one_takes_over_the_socket(unix_address):
    async with companion_process(unix_address) as crashed:
        await crashed.stop(signal.SIGKILL)
        async with companion_process(unix_address):
            assert await name_found_at(unix_address) == "llama"
