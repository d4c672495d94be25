"""`modelyard ext-proc --workers N`: who gets which connection, and who is started again."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.support.ext_proc_client import client_of, whole_body
from tests.support.ext_proc_process import (
    Ended,
    RunningCompanion,
    companion_process,
    run,
    scraped,
)
from xds_server.ext_proc.wire.frames import PREFACE, SETTINGS_ACK, settings

LLAMA = b'{"model": "llama"}'
ANYWHERE = "127.0.0.1:0"
TWO_WORKERS = ("--workers", 2, "--metrics-address", ANYWHERE)


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path) -> str:
    return f"unix:{tmp_path}/s" if request.param == "unix" else ANYWHERE


async def name_found_at(address: str) -> str:
    client = client_of(address)
    async with client.channel:
        return await client.name_in(LLAMA)


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def all_workers_again(running: RunningCompanion, gone: int) -> list[int]:
    """Return the workers once there are as many as before, without the one that is *gone*."""
    async with asyncio.timeout(20):
        while len(workers := running.workers()) < 2 or gone in workers:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
    return workers


async def test_connections_are_spread_evenly_over_the_workers(address):
    async with companion_process(address, *TWO_WORKERS) as running, AsyncExitStack() as stack:
        web_url = await running.web_url()
        for _ in range(10):
            client = client_of(running.address)
            await stack.enter_async_context(client.channel)
            assert await client.name_in(LLAMA) == "llama"
        metrics = await scraped(web_url)
        workers = running.workers()
        ended = await running.stop()

    assert len(workers) == 2
    for worker in ("0", "1"):
        assert metrics[f'modelyard_ext_proc_connections{{worker="{worker}"}}'] == 5
        assert metrics[f'modelyard_ext_proc_requests_total{{worker="{worker}"}}'] == 5
        assert metrics[f'modelyard_ext_proc_resident_memory_bytes{{process="{worker}"}}'] > 0
    assert metrics['modelyard_ext_proc_cpu_seconds_total{process="parent"}'] > 0
    assert metrics["modelyard_ext_proc_worker_restarts_total"] == 0
    assert ended == Ended(0, "", "")


async def test_a_worker_that_is_killed_is_started_again_while_the_others_go_on(address):
    async with companion_process(address, *TWO_WORKERS) as running, AsyncExitStack() as stack:
        web_url = await running.web_url()
        killed, other = running.workers()
        clients = [client_of(running.address) for _ in range(2)]
        for client in clients:
            await stack.enter_async_context(client.channel)
            await client.name_in(LLAMA)

        os.kill(killed, signal.SIGKILL)
        entry = await running.logged("ext_proc.worker.ended")
        names = [await name_found_at(running.address) for _ in range(10)]
        workers = await all_workers_again(running, killed)
        metrics = await scraped(web_url)
        ended = await running.stop()

    assert (entry["pid"], entry["exit_code"]) == (killed, -signal.SIGKILL)
    assert names == ["llama"] * 10
    assert other in workers
    assert metrics["modelyard_ext_proc_worker_restarts_total"] == 1
    # What the dead one counted is not lost, and what it held is not counted any more.
    requests = [metrics[f'modelyard_ext_proc_requests_total{{worker="{n}"}}'] for n in "01"]
    assert sum(requests) == 12
    assert metrics['modelyard_ext_proc_connections{worker="0"}'] <= 1
    assert ended == Ended(0, "", "")


async def test_with_every_worker_killed_connections_wait_for_the_next(address):
    async with companion_process(address, "--workers", 2) as running:
        for worker in running.workers():
            os.kill(worker, signal.SIGKILL)

        assert await name_found_at(running.address) == "llama"


def pending_of(tasks: list[asyncio.Future[bytes]]) -> list[asyncio.Future[bytes]]:
    return [task for task in tasks if not task.done()]


async def test_a_worker_that_dies_takes_along_only_the_connections_that_it_had(tmp_path):
    async with companion_process(f"unix:{tmp_path}/s", "--workers", 2) as running:
        dies = running.workers()[0]
        before = open_files(running.process.pid)
        had = []
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
            had.append((reader, writer))
            writer.write(PREFACE + settings({}))
            await reader.readuntil(SETTINGS_ACK)
        os.kill(dies, signal.SIGSTOP)
        on_their_way = [await asyncio.open_unix_connection(f"{tmp_path}/s") for _ in range(4)]
        served = [asyncio.ensure_future(reader.readexactly(9)) for reader, _ in on_their_way]
        async with asyncio.timeout(10):
            parent = running.process.pid
            while open_files(parent) - before != len(pending_of(served)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert pending_of(served)  # they are in the mailbox of the frozen worker
            os.kill(dies, signal.SIGKILL)
            await asyncio.gather(*served)
            ends = [asyncio.ensure_future(reader.read()) for reader, _ in had]
            done, pending = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in had + on_their_way:
            writer.close()

    assert len(done) == len(pending) == 1


async def test_a_worker_that_keeps_dying_is_started_again_ever_later():
    async with companion_process(ANYWHERE, "--workers", 2) as running:
        pauses = []
        for _ in range(4):
            worker = running.workers()[-1]
            os.kill(worker, signal.SIGKILL)
            pauses.append((await running.logged("ext_proc.worker.ended"))["restart_in_s"])
            await all_workers_again(running, worker)

    assert pauses == [0.0, 0.1, 0.2, 0.4]


IMPATIENT = """
from xds_server.cli import main
from xds_server.ext_proc import staff
staff.HUNG_TICKS = 3
main()
"""


async def test_a_worker_that_hangs_is_replaced():
    impatient = ("-c", IMPATIENT)
    async with companion_process(ANYWHERE, "--workers", 2, program=impatient) as running:
        frozen = running.workers()[0]
        os.kill(frozen, signal.SIGSTOP)

        hung = await running.logged("ext_proc.worker.hung")
        ended = await running.logged("ext_proc.worker.ended")
        workers = await all_workers_again(running, frozen)

    assert hung["pid"] == ended["pid"] == frozen
    assert len(workers) == 2


async def test_the_parent_keeps_no_file_and_no_memory_of_many_connections(address):
    async with companion_process(address, *TWO_WORKERS) as running:
        web_url = await running.web_url()
        before, memory_before = open_files(running.process.pid), await parent_memory(web_url)
        for _ in range(1000):
            if running.address.startswith("unix:"):
                connecting = asyncio.open_unix_connection(running.address.removeprefix("unix:"))
            else:
                host, _, port = running.address.rpartition(":")
                connecting = asyncio.open_connection(host, port)
            reader, writer = await connecting
            assert await reader.read(9)  # SETTINGS: a worker has it
            writer.close()
            await writer.wait_closed()
        after, memory_after = open_files(running.process.pid), await parent_memory(web_url)
        async with asyncio.timeout(10):
            while open_connections(await scraped(web_url)):
                pass
        workers = [open_files(pid) for pid in running.workers()]
        name = await name_found_at(running.address)

    assert after <= before + 1
    assert memory_after - memory_before < 2 * 1024 * 1024
    assert max(workers) < 30
    assert name == "llama"


async def test_the_parent_lets_go_of_all_connections_of_a_burst(tmp_path):
    async with companion_process(f"unix:{tmp_path}/s", *TWO_WORKERS) as running:
        web_url = await running.web_url()
        parent = running.process.pid
        before = open_files(parent)
        os.kill(parent, signal.SIGSTOP)
        opened = [await asyncio.open_unix_connection(f"{tmp_path}/s") for _ in range(1000)]
        os.kill(parent, signal.SIGCONT)
        async with asyncio.timeout(20):
            for reader, _ in opened:
                assert await reader.read(9)  # SETTINGS: a worker has it
            while open_files(parent) > before + 1:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        shares = [
            (await scraped(web_url))[f'modelyard_ext_proc_connections{{worker="{n}"}}']
            for n in "01"
        ]
        for _, writer in opened:
            writer.close()

    assert sum(shares) == 1000
    assert min(shares) > 300


async def parent_memory(web_url: str) -> float:
    metrics = await scraped(web_url)
    return metrics['modelyard_ext_proc_resident_memory_bytes{process="parent"}']


def open_connections(metrics: dict[str, float]) -> float:
    return sum(metrics[f'modelyard_ext_proc_connections{{worker="{n}"}}'] for n in "01")


@pytest.mark.parametrize("workers", [1, 2])
async def test_without_room_for_open_files_connections_wait_until_there_is(workers, tmp_path):
    async with companion_process(f"unix:{tmp_path}/s", "--workers", workers) as running:
        pid = running.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid), before[1]))
        client = client_of(running.address)
        async with client.channel, asyncio.TaskGroup() as tasks:
            name = tasks.create_task(client.name_in(LLAMA))
            failed = await running.logged("ext_proc.accept.failed")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    assert "Too many open files" in failed["error_message"]
    assert name.result() == "llama"


async def test_a_stop_lets_100_calls_in_flight_on_all_workers_finish(address):
    async with companion_process(address, "--workers", 2) as running, AsyncExitStack() as stack:
        clients = [client_of(running.address) for _ in range(25)]
        for client in clients:
            await stack.enter_async_context(client.channel)
        calls = [await client.after_headers() for client in clients for _ in range(4)]
        running.process.terminate()
        await asyncio.gather(*(client.told_to_leave() for client in clients))
        for call in calls:
            await call.write(whole_body(LLAMA))
        answers = [await call.read() for call in calls]
        ended = await running.ended()

    assert all(answer.request_body.response.clear_route_cache for answer in answers)
    assert len(answers) == 100
    assert ended == Ended(0, "", "")


async def test_a_second_signal_ends_all_at_once(address):
    async with companion_process(address, "--workers", 2) as running:
        client = client_of(running.address)
        async with client.channel:
            await client.after_headers()
            running.process.terminate()
            await client.told_to_leave()
            ended = await running.stop()

    assert ended.code == 1
    assert ended.stderr == "Error: stopped without waiting for all calls in flight\n"


async def test_the_web_interface_is_one_for_all_workers(address):
    async with companion_process(address, *TWO_WORKERS) as running:
        web_url = await running.web_url()
        async with aiohttp.ClientSession() as http:
            statuses = {}
            for path in ("/healthz", "/readyz", "/metrics", "/other"):
                async with http.get(web_url + path) as answer:
                    statuses[path] = answer.status

    assert statuses == {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/other": 404}


async def test_workers_leave_signals_to_their_parent():
    async with companion_process(ANYWHERE, "--workers", 2) as running:
        workers = running.workers()
        for worker in workers:
            os.kill(worker, signal.SIGINT)
            os.kill(worker, signal.SIGTERM)
        names = [await name_found_at(running.address) for _ in range(4)]

        assert running.workers() == workers

    assert names == ["llama"] * 4


async def test_workers_do_not_outlive_a_killed_parent(address):
    async with companion_process(address, "--workers", 2) as running:
        client = client_of(running.address)
        async with client.channel:
            await client.name_in(LLAMA)
            running.process.kill()

            ended = await running.ended()  # its output ends only with the last worker

    assert ended.code == -signal.SIGKILL


async def test_a_socket_in_use_is_refused_to_workers_as_well(tmp_path):
    address = f"unix:{tmp_path}/s"
    async with companion_process(address, "--workers", 2):
        ended = await run("--address", address, "--workers", 2)
        name = await name_found_at(address)

    message = f"Error: cannot listen on {address}: a running process listens there\n"
    assert ended == Ended(1, "", message)
    assert name == "llama"
