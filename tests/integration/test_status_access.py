"""Who may ask a control plane at its status address: real processes, tokens and names."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.support import command, serve_process
from tests.support.certificates import replace
from tests.support.serve_process import serving
from xds_server.status.newcomers import MAX_NEWCOMERS

REGISTRY = """\
version: 1
pools:
  llama: {endpoints: ["127.0.0.1:9001"], health_check: false}
models:
  small: {pool: llama}
"""
TOKEN, OTHER_TOKEN = "t" * 32, "u" * 32
ADDRESSES = ("--xds-address", "127.0.0.1:0")
ASKING = {
    "status": ("status",),
    "wait": ("wait", "--nodes", "0"),
    "plan": ("plan", "registry.yaml"),
    "explain": ("explain", "--model", "small"),
}


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n")
    return path


async def code_of(url, path="/status", token="", headers=None, **session):
    """Return the status code of an answer, and its error if it has one."""
    headers = headers or ({"authorization": f"Bearer {token}"} if token else {})
    async with (
        aiohttp.ClientSession(headers=headers, **session) as asking,
        asking.get(f"{url}{path}") as answer,
    ):
        text = await answer.text()
        return answer.status, json.loads(text).get("error") if text.startswith("{") else None


def basic(user, password):
    return {"authorization": aiohttp.encode_basic_auth(user, password)}


def on_loopback(url):
    return f"http://127.0.0.1:{urlsplit(url).port}"


def asked(name, registry, url, *flags):
    arguments = [str(registry) if one == "registry.yaml" else one for one in ASKING[name]]
    return (*arguments, "--status-url", url, *flags)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:0"])
async def test_a_token_is_needed_for_all_but_probes(registry, tokens, address):
    guarded = ("--status-token-file", tokens)
    async with serving(registry, *guarded, status_address=address) as control_plane:
        url = on_loopback(control_plane.status_url)
        paths = ("/", "/status", "/wait", "/registry", "/client", "/metrics", "/nowhere")
        strange = [(await code_of(url, path))[0] for path in paths]
        wrong = [(await code_of(url, path, OTHER_TOKEN))[0] for path in paths]
        good = [(await code_of(url, path, TOKEN))[0] for path in paths]
        probes = [(await code_of(url, path))[0] for path in ("/healthz", "/readyz")]
        ended = await control_plane.stop()

    assert strange == wrong == [401] * 7
    assert good == [200, 200, 200, 200, 200, 200, 404]
    assert probes == [200, 200]
    assert "it shows a token that is none of --status-token-file" in ended.stderr
    assert not {TOKEN, OTHER_TOKEN} & set(ended.stderr.replace("'", " ").split())


async def test_a_browser_may_show_the_token_as_a_password(registry, tokens):
    async with serving(registry, "--status-token-file", tokens) as control_plane:
        url = control_plane.status_url
        good = await code_of(url, "/", headers=basic("anybody", TOKEN))
        wrong = await code_of(url, "/", headers=basic(TOKEN, "anybody"))

    assert good[0] == 200
    assert wrong[0] == 401


async def test_tokens_change_while_it_runs(registry, tokens):
    async with serving(registry, "--status-token-file", tokens) as control_plane:
        url = control_plane.status_url
        replace(tokens, f"{TOKEN}\n{OTHER_TOKEN}\n".encode())
        await until_code(url, OTHER_TOKEN, 200)
        both = await code_of(url, token=TOKEN)
        replace(tokens, f"{OTHER_TOKEN}\n".encode())
        await until_code(url, TOKEN, 401)
        left = await code_of(url, token=OTHER_TOKEN)
        replace(tokens, b"")
        async with asyncio.timeout(20):
            while b"guard.files.kept" not in await control_plane.process.stderr.readline():
                pass
        kept = await code_of(url, token=OTHER_TOKEN)

    assert (both[0], left[0], kept[0]) == (200, 200, 200)


async def until_code(url, token, code):
    async with asyncio.timeout(20):
        while (await code_of(url, token=token))[0] != code:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_strangers_are_not_served_unless_that_is_said(registry, address):
    ended = await serve_process.run(registry, *ADDRESSES, "--status-address", address)

    assert (ended.code, ended.stdout) == (2, "")
    [line] = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert f"--status-address {address} can be reached from other machines" in line
    assert "--status-token-file FILE" in line
    assert "--status-open" in line


async def test_the_operator_may_say_that_something_else_guards_it(registry):
    open_to_all = serving(registry, status_address="0.0.0.0:0", MODELYARD_STATUS_OPEN="1")
    async with open_to_all as control_plane:
        answer = await code_of(on_loopback(control_plane.status_url))

    assert answer == (200, None)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--status-token-file", "none"), 1, "none does not exist"),
        (("--status-token-file", "empty"), 1, "empty is empty"),
        (("--status-token-file", "short"), 1, "short: token 1 has less than 16 characters"),
        (("--status-token-file", "empty", "--status-open"), 2, "contradict each other"),
        (("--status-host", "https://status.example"), 2, "is not the name of a host"),
        (("--status-host", "status.example:80"), 2, "is not the name of a host"),
    ],
)
async def test_a_guard_that_cannot_work_ends_the_start(registry, tmp_path, flags, code, words):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "short").write_text("secret\n")
    flags = [tmp_path / flag if flag in {"none", "empty", "short"} else flag for flag in flags]
    ended = await serve_process.run(registry, *ADDRESSES, "--status-address", "127.0.0.1:0", *flags)

    assert ended.code == code
    assert words in ended.stderr.splitlines()[-1]
    assert "secret" not in ended.stderr


async def test_a_page_that_led_a_browser_here_by_its_own_name_reads_nothing(registry):
    """As after DNS rebinding: the name is the page's, the address is ours."""
    async with serving(registry) as control_plane:
        port = urlsplit(control_plane.status_url).port
        resolver = Rebound()
        connector = aiohttp.TCPConnector(resolver=resolver)
        rebound = await code_of(f"http://rebound.example:{port}", connector=connector)
        probe = await code_of(
            control_plane.status_url, "/readyz", headers={"host": "rebound.example"}
        )
        ended = await control_plane.stop()

    assert rebound[0] == 421
    assert rebound[1].startswith("the status interface is not known as 'rebound.example:")
    assert probe[0] == 200
    assert "it asks under a name that is none of --status-host" in ended.stderr


class Rebound(aiohttp.abc.AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host, port=0, family=0):
        address = {"host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}
        return [{"hostname": host, **address}]

    async def close(self):
        pass


async def test_names_are_allowed_by_flag_by_variable_and_by_the_address(registry):
    names = {"MODELYARD_STATUS_HOST": "one.example,Two.example"}
    async with serving(registry, status_address="localhost:0", **names) as control_plane:
        url = control_plane.status_url
        hosts = ("one.example", "two.example:443", "localhost", "three.example")
        codes = [(await code_of(url, headers={"host": host}))[0] for host in hosts]

    assert codes == [200, 200, 200, 421]


@pytest.mark.parametrize("name", ASKING)
async def test_every_command_shows_the_token(registry, tokens, tmp_path, name):
    (tmp_path / "other").write_text(f"{OTHER_TOKEN}\n")
    async with serving(registry, "--status-token-file", tokens) as control_plane:
        url = control_plane.status_url
        by_flag = await command.run(*asked(name, registry, url, "--status-token-file", tokens))
        variable = {"MODELYARD_STATUS_TOKEN_FILE": str(tokens)}
        by_variable = await command.run(*asked(name, registry, url), **variable)
        none = await command.run(*asked(name, registry, url))
        other = await command.run(
            *asked(name, registry, url, "--status-token-file", tmp_path / "other")
        )

    assert (by_flag.code, by_variable.code) == (0, 0)
    assert (none.code, other.code) == (1, 1)
    assert none.stderr == (
        f"Error: {url} wants a token (hint: name the file that holds it by "
        "--status-token-file or MODELYARD_STATUS_TOKEN_FILE)\n"
    )
    assert other.stderr.startswith(f"Error: {url} does not take the token in {tmp_path / 'other'} ")
    assert OTHER_TOKEN not in other.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"\n \n", "it is empty"),
        (b"\xff\xfe\n", "its first line is no token"),
        (b"two\x00parts\n", "its first line is no token"),
    ],
)
async def test_a_token_file_that_holds_none_is_said_in_one_line(tmp_path, content, words):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    ended = await command.run(
        "status", "--status-url", "http://127.0.0.1:1", "--status-token-file", path
    )

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    assert words in ended.stderr


async def test_what_is_watched_goes_on_with_the_next_token(registry, tokens, tmp_path):
    own = tmp_path / "own"
    own.write_text(TOKEN)
    async with serving(registry, "--status-token-file", tokens) as control_plane:
        url = control_plane.status_url
        flags = ("--json", "--status-url", url, "--status-token-file", own)
        async with command.ready("status", "--watch", *flags) as (process, _):
            replace(tokens, f"{TOKEN}\n{OTHER_TOKEN}\n".encode())
            await until_code(url, OTHER_TOKEN, 200)
            replace(own, OTHER_TOKEN.encode())
            replace(tokens, OTHER_TOKEN.encode())
            await until_code(url, TOKEN, 401)
            registry.write_text(REGISTRY.replace("small", "large"))
            async with asyncio.timeout(20):
                line = (await process.stdout.readline()).decode()
            process.send_signal(signal.SIGINT)

    assert json.loads(line)["revision"] != control_plane.revision


async def test_what_is_refused_is_told_by_the_command_in_the_words_of_the_answer(registry):
    async with serving(registry) as control_plane:
        url = f"{control_plane.status_url}/nowhere"
        ended = await command.run("status", "--status-url", url)

    assert ended.code == 1
    assert ended.stderr.startswith(
        f"Error: {url}/status does not answer as it should: 404 nothing is at /nowhere/status; "
    )
    assert ended.stderr.count("\n") == 1


async def test_strangers_who_hold_connections_take_none_from_others(registry, tokens):
    async with serving(registry, "--status-token-file", tokens) as control_plane:
        url = control_plane.status_url
        port = urlsplit(url).port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_NEWCOMERS)]
        silent.append(await asyncio.open_connection("127.0.0.1", port))
        answered = await code_of(url, token=TOKEN)
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                await silent[0][0].read()
        for _, writer in silent:
            writer.transport.abort()
        ended = await control_plane.stop()

    assert answered == (200, None)
    assert "the oldest is cut" in ended.stderr
