"""`modelyard status` and `modelyard wait` as processes, beside a control plane that is one too."""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import pytest

from snapshots.type_urls import CLUSTER, LISTENER
from tests.support import command
from tests.support.ads_client import AdsClient
from tests.support.serve_process import serving

REGISTRY = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"], health_check: false}
  green: {endpoints: ["127.0.0.1:9002"], health_check: false}
models:
  small: {pool: blue}
"""
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@asynccontextmanager
async def accepting(address: str, name: str):
    """Be an xDS client that takes what it is told, of the types that do not depend on others."""
    async with AdsClient(address, "delta", node_id=name) as client, asyncio.TaskGroup() as tasks:
        await client.subscribe(CLUSTER)
        await client.subscribe(LISTENER)

        async def accept() -> None:
            while True:
                await client.ack(await client.read())

        task = tasks.create_task(accept())
        try:
            yield client
        finally:
            task.cancel()


def wait(control_plane, *arguments):
    return command.run("wait", "--status-url", control_plane.status_url, *arguments)


def status(control_plane, *arguments):
    return command.run("status", "--status-url", control_plane.status_url, *arguments)


async def test_every_command_tells_the_same_of_an_edit(registry):
    async with serving(registry) as control_plane, accepting(control_plane.xds_address, "one"):
        before = await wait(control_plane)
        registry.write_text(REGISTRY.replace("small: {pool: blue}", "small: {pool: green}"))
        after = await wait(control_plane)
        table = await status(control_plane)
        answer = json.loads((await status(control_plane, "--json")).stdout)

    assert (before.code, after.code, table.code) == (0, 0, 0)
    assert before.stdout.startswith(f"revision {control_plane.revision} runs on 1 Envoy (")
    assert after.stdout.startswith(f"revision {answer['revision']} runs on 1 Envoy (")
    assert answer["revision"] != control_plane.revision
    assert table.stdout.splitlines()[1] == "1 Envoy, on this revision"
    assert "\x1b" not in table.stdout
    assert [node["id"] for node in answer["nodes"]] == ["one"]
    assert {each["type"] for each in answer["nodes"][0]["types"]} == {"cds", "lds"}


async def test_a_file_that_is_refused_ends_the_wait_with_its_errors(registry):
    async with serving(registry) as control_plane, accepting(control_plane.xds_address, "one"):
        registry.write_text(REGISTRY.replace("small: {pool: blue}", "small: {pool: bleu}"))
        refused = await wait(control_plane)
        table = await status(control_plane)

    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[:2] == [
        "refused, and what was good before is served on:",
        f"  {registry}:6:11: models.small.pool: no pool is named `bleu`"
        " (hint: did you mean `blue`?)",
    ]
    assert "refused, and what was good before is served on:" in table.stdout


async def test_without_an_envoy_nothing_is_proved_unless_that_is_asked_for(registry):
    async with serving(registry) as control_plane:
        nobody = await wait(control_plane, "--timeout", "100ms")
        none_needed = await wait(control_plane, "--nodes", "0")

    assert (nobody.code, none_needed.code) == (1, 0)
    assert nobody.stderr.splitlines()[0] == "not within 0.1 s: no Envoy is connected"


async def test_who_is_missing_is_said_at_the_timeout(registry):
    async with serving(registry) as control_plane:
        async with accepting(control_plane.xds_address, "left"):
            assert (await wait(control_plane)).code == 0
        async with accepting(control_plane.xds_address, "here"):
            two = await wait(control_plane, "--nodes", "2", "--timeout", "300ms")
            one = await wait(control_plane)

    assert two.code == 1
    assert two.stderr.splitlines() == [
        "not within 0.3 s: 2 Envoys are waited for, and 1 are connected",
        f"revision {control_plane.revision} runs on 1 of 1 Envoy connected",
        "not connected, so not waited for: left",
    ]
    assert one.code == 0
    assert one.stderr == "not connected, so not waited for: left\n"


async def test_a_node_that_does_not_answer_is_named_with_what_it_lacks(registry):
    async with (
        serving(registry) as control_plane,
        AdsClient(control_plane.xds_address, "delta", node_id="silent") as client,
    ):
        await client.subscribe(CLUSTER)
        late = await wait(control_plane, "--timeout", "300ms")

    assert late.code == 1
    lines = late.stderr.splitlines()
    assert lines[:3] == [
        "not within 0.3 s: not every Envoy has accepted it",
        f"revision {control_plane.revision} runs on 0 of 1 Envoy connected",
        "silent is not there yet, and runs no revision that is known",
    ]
    assert lines[3].startswith("  cds: sent ")
    assert lines[3].endswith(", accepted nothing")


async def test_a_revision_that_is_not_served_is_waited_for(registry):
    async with serving(registry) as control_plane, accepting(control_plane.xds_address, "one"):
        served = await wait(control_plane, "--revision", control_plane.revision)
        other = await wait(control_plane, "--revision", "0123456789abcdef", "--timeout", "0")

    assert served.code == 0
    assert other.code == 1
    assert other.stderr.splitlines()[0] == (
        "not within 0 s: the control plane serves revision "
        f"{control_plane.revision}, not 0123456789abcdef"
    )


async def test_a_control_plane_that_does_not_answer_is_one_line(tmp_path):
    for arguments in (("status",), ("wait", "--timeout", "300ms")):
        ended = await command.run(*arguments, "--status-url", NOBODY)

        assert (ended.code, ended.stdout) == (1, "")
        assert ended.stderr.count("\n") == 1
        assert "does not answer" in ended.stderr


async def test_who_waits_for_a_control_plane_that_does_not_answer_is_told(tmp_path):
    ended = await command.run("wait", "--timeout", "3s", "--status-url", NOBODY)

    told, error = ended.stderr.splitlines()
    assert told == f"{error.removeprefix('Error: ')}; waiting for it"


@pytest.mark.parametrize(
    "arguments",
    [
        ("wait", "--revision", "9F2C"),
        ("wait", "--nodes", "-1"),
        ("wait", "--timeout", "soon"),
        ("wait", "--status-url", "127.0.0.1:18001"),
        ("status", "--status-url", "127.0.0.1:18001"),
    ],
)
async def test_wrong_usage_is_exit_code_2(arguments):
    ended = await command.run(*arguments)

    assert (ended.code, ended.stdout) == (2, "")


async def test_watched_through_a_pipe_every_change_is_a_block_of_lines(registry):
    async with serving(registry) as control_plane:
        watching = command.ready("status", "--watch", "--status-url", control_plane.status_url)
        async with watching as (process, first), accepting(control_plane.xds_address, "one"):
            text = first
            async with asyncio.timeout(20):
                while "one  " not in text:
                    text += (await process.stdout.readline()).decode()

    assert first.startswith(f"revision {control_plane.revision} of ")
    assert "no Envoy has connected since the control plane started\n\n" in text


async def test_watched_as_json_every_change_is_a_line(registry):
    async with serving(registry) as control_plane:
        url = control_plane.status_url
        async with (
            command.ready("status", "--watch", "--json", "--status-url", url) as (
                process,
                first,
            ),
            accepting(control_plane.xds_address, "one"),
            asyncio.timeout(20),
        ):
            second = (await process.stdout.readline()).decode()

    assert json.loads(first)["nodes"] == []
    assert len(json.loads(second)["nodes"]) == 1


async def test_stopping_does_not_wait_for_those_who_wait(registry):
    async with serving(registry) as control_plane:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(wait(control_plane, "--timeout", "2s"))
            await _until_somebody_waits(control_plane.process)
            ended = await control_plane.stop(within_s=4)
        late = waiting.result()

    assert ended.code == 0
    assert late.code == 1
    assert "does not answer" in late.stderr


async def _until_somebody_waits(process) -> None:
    """Wait until a client of the status interface has a connection."""
    before = len(os.listdir(f"/proc/{process.pid}/fd"))  # noqa: PTH208
    async with asyncio.timeout(10):
        while len(os.listdir(f"/proc/{process.pid}/fd")) <= before:  # noqa: ASYNC110, PTH208
            await asyncio.sleep(0.01)
