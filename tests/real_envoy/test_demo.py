"""`modelyard demo` shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.demo_process import demo, is_running

pytestmark = pytest.mark.envoy

KEPT = "Everything goes on until Ctrl-C"


@pytest.fixture(scope="module")
def ended():
    command = [sys.executable, "-m", "xds_server", "demo"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def exists(path: str) -> bool:
    return Path(path).exists()


def test_it_shows_routing_a_split_a_reroute_and_a_refusal_and_ends(ended):
    shown = ended.stdout
    shares = {pool: int(share) for pool, share in re.findall(r"(\S+) +#+ +\d+ = (\d+) %", shown)}

    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"small +its alias +llama-1b +llama-1b-[ab] +meta-llama/Llama-3.2-1B", shown)
    assert re.search(r"food-review +a LoRA adapter +llama-1b +llama-1b-[ab] +food-review\n", shown)
    assert re.search(r"/v1/1b/chat/completions +a path +llama-1b +llama-1b-[ab] ", shown)
    assert "404, The model `gpt-5` does not exist.\n" in shown
    assert 55 <= shares["llama-1b"] <= 85
    assert shares["llama-1b"] + shares["llama-3b"] in (99, 100, 101)
    assert re.search(r"\d+ ms later llama-1b had given its last answer\n", shown)
    assert re.search(r"\d+ requests were answered before, meanwhile and after; 0 failed\n", shown)
    assert "(hint: did you mean `llama-3b`?)\n" in shown
    assert re.search(r"envoy-1 +runs revision [0-9a-f]{16}: converged \(Envoy 1\.40\.0\)\n", shown)


def test_what_it_prints_fits_on_two_screens(ended):
    folder = re.search(r"\S*/modelyard-\w+", ended.stdout)[0]
    lines = ended.stdout.replace(folder, "/tmp/modelyard-12345678").splitlines()

    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert not exists(folder)


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "as a terminal does"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_kept_it_goes_on_until_a_signal_and_leaves_nothing_behind(number, whole_group):
    async with demo("--keep") as running:
        gateway = (await running.line_with("Envoy takes requests at")).rpartition(" ")[2]
        await running.line_with(KEPT)
        [envoy] = running.children()
        async with aiohttp.ClientSession() as session, session.get(f"{gateway}/v1/models") as got:
            listed = await got.json()
        (os.killpg if whole_group else os.kill)(running.process.pid, number)
        code, shown, errors = await running.ended()

    assert len(listed["data"]) == 5
    assert (code, errors) == (0, "")
    assert shown.endswith("\nstopped\n")
    assert not is_running(envoy)
    assert not exists(re.search(r"(\S+)/registry.yaml", shown)[1])


@pytest.mark.parametrize("moment", ["Starting", "Ready", "2. ", "3. ", "4. "])
async def test_ctrl_c_at_any_moment_prints_no_traceback(moment):
    async with demo() as running:
        await running.line_with(moment)
        children = running.children()
        os.killpg(running.process.pid, signal.SIGINT)
        code, shown, errors = await running.ended()

    assert (code, errors) == (0, "")
    assert shown.endswith("\nstopped\n")
    assert not any(map(is_running, children))


async def test_a_second_ctrl_c_is_no_reason_to_complain():
    async with demo("--keep") as running:
        await running.line_with(KEPT)
        [envoy] = running.children()
        for _ in range(2):
            os.killpg(running.process.pid, signal.SIGINT)
        code, _, errors = await running.ended()

    assert (code, errors) == (0, "")
    assert not is_running(envoy)


async def test_the_port_can_be_chosen():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async with demo("--keep", environment={"MODELYARD_PORT": str(port)}) as running:
        line = await running.line_with("Envoy takes requests at")
        running.process.terminate()
        await running.ended()

    assert line.endswith(f"http://127.0.0.1:{port}")


async def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with demo("--port", str(port)) as running:
            code, shown, errors = await running.ended()

    assert (code, shown) == (1, "\n")
    assert errors == f"cannot listen on --port 127.0.0.1:{port}: Address already in use\n"


async def test_without_an_envoy_it_says_in_one_line_how_to_get_one(tmp_path):
    # The Python that this environment was made from, with our packages but not our programs.
    environment = {"PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    async with demo(python=sys._base_executable, environment=environment) as running:  # noqa: SLF001
        code, shown, errors = await running.ended()

    assert (code, shown) == (1, "\n")
    assert errors == "there is no envoy on the PATH (hint: pip install 'modelyard[envoy]')\n"


async def test_a_folder_too_deep_for_a_socket_is_one_line(tmp_path):
    deep = tmp_path / ("x" * 110)
    deep.mkdir()

    async with demo(environment={"TMPDIR": str(deep)}) as running:
        code, _, errors = await running.ended()

    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "has at most 107 bytes (hint: TMPDIR=/tmp)" in errors


def test_a_reader_that_has_gone_ends_it_quietly():
    shell = f"{sys.executable} -m xds_server demo | head -2"

    ran = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False
    )

    assert len(ran.stdout.splitlines()) == 2
    assert ran.stderr == ""
