"""mTLS and tokens on xDS: who gets in, as whom, and what becomes of changed files."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import grpc
import pytest

from tests.support import serve_process
from tests.support.certificates import Authority, replace
from tests.support.guarded import Keys, ask, channel, guarded, stream

REGISTRY = """\
version: 1
pools:
  llama: {endpoints: ["127.0.0.1:9001"]}
models:
  small: {pool: llama}
"""
TOKEN, OTHER_TOKEN = "t" * 32, "u" * 32


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY)
    return path


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


def with_token(token):
    return (("authorization", f"Bearer {token}"),)


def is_served(answer):
    return not isinstance(answer, grpc.StatusCode) and bool(answer.resources)


async def answers(address, node_id="envoy-1", ca=None, own=None, metadata=()):
    async with channel(address, ca, own) as opened:
        return await ask(stream(opened, metadata), node_id)


async def turned_away(address, ca=None, own=None, metadata=()):
    """Return the status with which a stream ends that asks for nothing."""
    async with asyncio.timeout(20), channel(address, ca, own) as opened:
        return await stream(opened, metadata).code()


def logged(ended, event):
    lines = (json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == event]


async def until(condition):
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - the server tells of it only when asked
            await asyncio.sleep(0.05)


async def test_a_certificate_opens_a_stream_as_the_node_it_names_and_no_other(registry, keys):
    async with guarded(registry, *keys.write(), "--log-format", "json") as serving:
        own, ca = keys.envoys.issue("envoy-1"), keys.servers.pem
        allowed = await answers(serving.xds_address, "envoy-1", ca, own)
        foreign = await answers(serving.xds_address, "envoy-2", ca, own)
        wild = await answers(serving.xds_address, "envoy-2", ca, keys.envoys.issue("envoy-*"))
        ended = await serving.stop()

    assert is_served(allowed)
    assert is_served(wild)
    assert foreign is grpc.StatusCode.PERMISSION_DENIED
    [line] = logged(ended, "xds.stream.refused")
    assert (line["node_id"], line["reason"]) == ("envoy-2", "its certificate has envoy-1")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (lambda keys: None, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (lambda keys: Authority().issue("envoy-1"), "CERTIFICATE_VERIFY_FAILED"),
        (lambda keys: keys.servers.issue("envoy-1"), "CERTIFICATE_VERIFY_FAILED"),
        (lambda keys: keys.envoys.issue("envoy-1", timedelta(days=-1)), "certificate has expired"),
    ],
    ids=["none", "foreign", "of the servers' authority", "expired"],
)
async def test_who_has_no_good_certificate_gets_no_connection(registry, keys, own, words):
    async with guarded(registry, *keys.write()) as serving:
        refused = await answers(serving.xds_address, "envoy-1", keys.servers.pem, own(keys))
        ended = await serving.stop()

    assert refused is grpc.StatusCode.UNAVAILABLE
    assert words in ended.stderr


async def test_a_client_in_clear_gets_nothing_where_tls_is_spoken(registry, keys):
    async with guarded(registry, *keys.write()) as serving:
        assert await answers(serving.xds_address) is grpc.StatusCode.UNAVAILABLE


async def test_new_connections_see_a_new_certificate_and_open_streams_go_on(registry, keys):
    async with guarded(registry, *keys.write()) as serving:
        own, address = keys.envoys.issue("envoy-1"), serving.xds_address
        async with channel(address, keys.servers.pem, own) as opened:
            call = stream(opened)
            assert is_served(await ask(call))
            successor = Authority("successor")
            successor.write(keys.folder, "server", "localhost")

            async def is_successor_shown():
                return is_served(await answers(address, "envoy-1", successor.pem, own))

            await until(is_successor_shown)
            on_the_old_stream = await ask(call, type_url="type.googleapis.com/barrier")

    assert not isinstance(on_the_old_stream, grpc.StatusCode)


async def test_new_connections_are_judged_by_new_authorities(registry, keys):
    successor = Authority("successor")
    async with guarded(registry, *keys.write()) as serving:
        address, ca = serving.xds_address, keys.servers.pem
        replace(keys.folder / "envoys-ca.pem", successor.pem)

        async def is_successor_trusted():
            return is_served(await answers(address, "envoy-1", ca, successor.issue("envoy-1")))

        await until(is_successor_trusted)
        before = await answers(address, "envoy-1", ca, keys.envoys.issue("envoy-1"))

    assert before is grpc.StatusCode.UNAVAILABLE


async def test_files_that_cannot_be_used_are_said_and_what_was_good_goes_on(registry, keys):
    async with guarded(registry, *keys.write()) as serving:
        address, own = serving.xds_address, keys.envoys.issue("envoy-1")
        replace(keys.folder / "server.key", keys.servers.issue("localhost")[1])
        await until_said(serving, "guard.files.kept")

        assert is_served(await answers(address, "envoy-1", keys.servers.pem, own))


async def until_said(serving, words):
    async with asyncio.timeout(20):
        while words.encode() not in await serving.process.stderr.readline():
            pass


async def test_a_token_opens_a_stream_and_nothing_else_does(registry, tmp_path):
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    flags = ("--token-file", str(tmp_path / "tokens"), "--log-format", "json")
    async with guarded(registry, *flags) as serving:
        address = serving.xds_address
        allowed = await answers(address, metadata=with_token(TOKEN))
        none = await turned_away(address)
        other = await turned_away(address, metadata=with_token(OTHER_TOKEN))
        ended = await serving.stop()

    assert is_served(allowed)
    assert {none, other} == {grpc.StatusCode.UNAUTHENTICATED}
    reasons = [line["reason"] for line in logged(ended, "xds.stream.refused")]
    assert reasons == ["it has no token", "it shows a token that is none of --token-file"]
    assert OTHER_TOKEN not in ended.stderr


async def test_a_token_is_replaced_while_streams_go_on(registry, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    async with guarded(registry, "--token-file", str(tokens)) as serving:
        address = serving.xds_address
        async with channel(address) as opened:
            call = stream(opened, with_token(TOKEN))
            assert is_served(await ask(call))
            replace(tokens, OTHER_TOKEN.encode())

            async def is_other_good():
                return is_served(await answers(address, metadata=with_token(OTHER_TOKEN)))

            await until(is_other_good)
            refused = await turned_away(address, metadata=with_token(TOKEN))
            on_the_old_stream = await ask(call, type_url="type.googleapis.com/barrier")

    assert refused is grpc.StatusCode.UNAUTHENTICATED
    assert not isinstance(on_the_old_stream, grpc.StatusCode)


async def test_where_both_are_wanted_a_certificate_alone_is_not_enough(registry, keys):
    tokens = keys.folder / "tokens"
    tokens.write_text(TOKEN)
    async with guarded(registry, *keys.write(), "--token-file", str(tokens)) as serving:
        own, ca, address = keys.envoys.issue("envoy-1"), keys.servers.pem, serving.xds_address
        alone = await turned_away(address, ca, own)
        both = await answers(address, "envoy-1", ca, own, with_token(TOKEN))

    assert alone is grpc.StatusCode.UNAUTHENTICATED
    assert is_served(both)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda keys: (keys.folder / "server.key").unlink(), "server.key does not exist"),
        (
            lambda keys: (keys.folder / "server.key").write_bytes(keys.envoys.issue("x")[1]),
            "is not the key of the certificate in --tls-cert",
        ),
        (
            lambda keys: keys.servers.write(
                keys.folder, "server", "localhost", lasts=timedelta(days=-1)
            ),
            "expired at",
        ),
        (
            lambda keys: (keys.folder / "envoys-ca.pem").write_text("none"),
            "envoys-ca.pem: holds no certificate",
        ),
    ],
    ids=["missing", "of another", "expired", "no authority"],
)
async def test_files_that_cannot_be_used_at_the_start_end_it_with_one_line(
    registry, keys, change, words
):
    flags = keys.write()
    change(keys)
    addresses = ("--xds-address", "127.0.0.1:0", "--status-address", "127.0.0.1:0")
    ended = await serve_process.run(registry, *addresses, *flags)

    assert ended.code == 1
    assert words in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--tls-cert", "a"), "--tls-cert and --tls-key need each other"),
        (("--client-ca", "a"), "--client-ca needs --tls-cert"),
    ],
)
async def test_half_of_the_flags_are_wrong_usage(registry, flags, words):
    ended = await serve_process.run(registry, *flags)

    assert ended.code == 2
    assert words in ended.stderr
