"""A pool's servers are shown its credential, and nobody else ever is."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.certificates import replace
from tests.support.deployment import deployment
from tests.support.load import chat_request, continuous_load
from tests.support.recording_server import recording_server

pytestmark = pytest.mark.envoy

SECRET, OTHER, NEXT = "first-secret-0123456789", "other-secret-0123456789", "next-secret-0123456789"
CLIENTS_OWN = {"authorization": "Bearer clients-own", "x-api-key": "clients-own"}
SETTLE_TIMEOUT_S = 20.0
WORKERS = 4

REGISTRY = """\
version: 1
pools:
  keyed: {endpoints: ["<keyed>"], health_check: false}
  other: {endpoints: ["<other>"], health_check: false}
  plain: {endpoints: ["<plain>"], health_check: false}
  alone: {endpoints: ["<alone>"], health_check: false}
models:
  first: {pool: keyed}
  alone: {pool: alone}
<models>
auth:
  upstream:
    keyed: {value_file: keyed.secret}
    other: {header: x-api-key, value_file: other.secret}
"""
SPLIT = """\
  split:
    split: {keyed: 1, other: 1, plain: 1}
    retries: {attempts: 8, on: [unreachable, 503]}"""
FALLBACK = "  chain: {pool: keyed, fallback: [other, plain]}"
MIRROR = """\
  to-plain: {pool: keyed, mirror: {pool: plain}}
  to-other: {pool: plain, mirror: {pool: other}}"""


@asynccontextmanager
async def credentials(folder, variant, models="", registry=REGISTRY):
    """Run a deployment on servers that remember what they saw; yields it and these by name."""
    replace(folder / "keyed.secret", f"{SECRET}\n".encode())
    replace(folder / "other.secret", OTHER.encode())
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(recording_server())
            for name in ("keyed", "other", "plain", "alone")
        }
        text = registry.replace("<models>", models)
        for name, server in servers.items():
            text = text.replace(f"<{name}>", server.address)
        yield await stack.enter_async_context(deployment(text, (), folder, variant)), servers


async def ask(deployed, model):
    body = {"model": model, "messages": []}
    return await deployed.post("/v1/chat/completions", body, CLIENTS_OWN)


async def until(condition):
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while not await condition():  # noqa: ASYNC110 - Envoy tells of it only when asked
            await asyncio.sleep(0.02)


async def test_a_servers_credential_replaces_what_the_client_sent(variant, tmp_path):
    async with credentials(tmp_path, variant) as (deployed, servers):
        answers = [await ask(deployed, "first"), await ask(deployed, "alone")]

    assert [answer.status for answer in answers] == [200, 200]
    assert servers["keyed"].values("authorization") == {f"Bearer {SECRET}"}
    assert servers["keyed"].values("x-api-key") == {"clients-own"}
    assert servers["alone"].values("authorization") == {"Bearer clients-own"}


BOUNDED = REGISTRY.replace('"<keyed>"],', '"<keyed>"], max_requests: 100,')


@pytest.mark.parametrize(
    ("model", "models", "registry"),
    [("split", SPLIT, REGISTRY), ("chain", FALLBACK, REGISTRY), ("chain", FALLBACK, BOUNDED)],
    ids=["split", "fallback", "fallback-when-full"],
)
async def test_a_request_that_is_tried_at_another_pool_takes_no_credential_with_it(
    variant, tmp_path, model, models, registry
):
    async with credentials(tmp_path, variant, models, registry) as (deployed, servers):
        servers["keyed"].status = servers["other"].status = 503
        statuses = {(await ask(deployed, model)).status for _ in range(30)}
        servers["plain"].status, servers["other"].status = 503, 200
        statuses |= {(await ask(deployed, model)).status for _ in range(30)}

    assert statuses == {200}
    assert all(len(servers[name].seen) > 20 for name in ("keyed", "other", "plain"))
    assert servers["keyed"].values("authorization") == {f"Bearer {SECRET}"}
    assert servers["keyed"].values("x-api-key") == {None}
    assert servers["other"].values("authorization") == {None}
    assert servers["other"].values("x-api-key") == {OTHER}
    assert servers["plain"].values("authorization") == {None}
    assert servers["plain"].values("x-api-key") == {None}


async def test_access_logs_tell_the_pool_as_ever(variant, tmp_path):
    log = tmp_path / "access.log"
    gateway = f'gateways: {{default: {{listen: "<gateway>", access_log: "{log}"}}}}\npools:'
    registry = REGISTRY.replace("pools:", gateway)
    async with credentials(tmp_path, variant, SPLIT, registry) as (deployed, _servers):
        answer = await ask(deployed, "first")

    assert answer.pool == "keyed"
    assert json.loads(log.read_text())["cluster"] == "pool/keyed"


async def test_a_server_that_cannot_be_reached_leaves_no_credential_to_the_next(variant, tmp_path):
    async with credentials(tmp_path, variant, SPLIT) as (deployed, servers):
        await deployed.edit(f'["{servers["keyed"].address}"]', '["127.0.0.1:1"]')
        statuses = {(await ask(deployed, "split")).status for _ in range(30)}

    assert statuses == {200}
    assert servers["other"].values("authorization") == {None}
    assert servers["plain"].values("authorization") == {None}


async def test_a_copy_of_a_request_takes_no_credential_with_it(variant, tmp_path):
    async with credentials(tmp_path, variant, MIRROR) as (deployed, servers):
        await ask(deployed, "to-plain")
        await ask(deployed, "to-other")

        async def all_came():
            return len(servers["plain"].seen) == 2 and servers["other"].seen

        await until(all_came)

    assert f"Bearer {SECRET}" not in servers["plain"].values("authorization")
    assert servers["other"].values("x-api-key") == {OTHER}
    assert OTHER not in servers["plain"].values("x-api-key")


async def test_a_changed_file_is_shown_without_a_lost_request_or_connection(variant, tmp_path):
    connections = "cluster.pool/keyed.upstream_cx_total"
    async with credentials(tmp_path, variant) as (deployed, servers):
        server = servers["keyed"]
        await ask(deployed, "first")
        before = (await deployed.stats(connections))[connections]
        async with continuous_load(
            str(deployed.gateway), [chat_request("first")], workers=1
        ) as load:
            replace(tmp_path / "keyed.secret", NEXT.encode())
            await until_seen(server, f"Bearer {NEXT}")
            await load.answered(20)
        after = (await deployed.stats(connections))[connections]

    values = [headers["authorization"] for headers in server.seen]
    changed_at = values.index(f"Bearer {NEXT}")
    assert set(values[:changed_at]) == {f"Bearer {SECRET}"}
    assert set(values[changed_at:]) == {f"Bearer {NEXT}"}
    assert load.report.failures == 0
    assert after - before <= 1


async def until_seen(server, value):
    async def seen():
        return value in server.values("authorization")

    await until(seen)


async def test_a_credential_comes_and_goes_under_load(variant, tmp_path):
    without = REGISTRY[: REGISTRY.index("auth:")]
    async with credentials(tmp_path, variant, SPLIT, without) as (deployed, servers):
        server = servers["keyed"]
        text = deployed.registry.read_text()
        requests = [chat_request("first"), chat_request("split")]
        async with continuous_load(str(deployed.gateway), requests) as load:
            await load.answered(20)
            await deployed.write(text + REGISTRY[REGISTRY.index("auth:") :])
            await until_seen(server, f"Bearer {SECRET}")
            await load.answered(20)
            await deployed.write(text)
            server.seen.clear()
            await load.answered(20)

    assert load.report.failures == 0, load.report.summary()
    assert server.values("authorization") == {None}


@pytest.mark.parametrize("content", [b"", b"two\nlines", None])
async def test_a_bad_file_is_said_once_and_the_last_good_credential_goes_on(
    variant, tmp_path, content, capfd
):
    file = tmp_path / "keyed.secret"
    async with credentials(tmp_path, variant) as (deployed, servers):
        if content is None:
            file.unlink()
        else:
            replace(file, content)

        async def said():
            return (await deployed.status())["registry"]["error"]

        await until(said)
        error = await said()
        await deployed.edit("{pool: alone}", "{pool: alone, aliases: [edited]}")
        statuses = [(await ask(deployed, model)).status for model in ("first", "edited")]
        replace(file, NEXT.encode())
        await until_next(deployed, servers["keyed"])
        healed = await said()

    assert "auth.upstream.keyed.value_file" in error
    assert servers["keyed"].values("authorization") == {f"Bearer {SECRET}", f"Bearer {NEXT}"}
    assert healed is None
    assert statuses == [200, 200]
    assert capfd.readouterr().err.count("secrets.kept") <= 1


async def until_next(deployed, server):
    async def seen():
        await ask(deployed, "first")
        return f"Bearer {NEXT}" in server.values("authorization")

    await until(seen)


async def test_a_credential_appears_nowhere(variant, tmp_path, capfd):
    async with credentials(tmp_path, variant, SPLIT) as (deployed, servers):
        servers["keyed"].status = 503
        for _ in range(5):
            await ask(deployed, "first")
            await ask(deployed, "split")
        shown = [json.dumps(await deployed.status())]
        paths = ("/config_dump?include_eds", "/clusters?format=json", "/stats?format=json")
        shown += [json.dumps(await deployed.admin(path)) for path in paths]
        answer = await ask(deployed, "first")
        shown.append(f"{answer.headers} {answer.body!r}")
    shown += [*capfd.readouterr(), deployed.envoy.log.read_text()]

    everything = "\n".join(shown)
    assert "pools/keyed/credential" in everything
    assert servers["keyed"].values("authorization") == {f"Bearer {SECRET}"}
    for secret in (SECRET, OTHER):
        for prefix in ("", "Bearer "):
            value = f"{prefix}{secret}".encode()
            assert value.decode() not in everything
            assert base64.b64encode(value).decode() not in everything


async def test_a_header_that_the_client_sends_twice_does_not_get_by(variant, tmp_path):
    models = "  other: {pool: other}"
    head = "POST /v1/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    body = '{"model": "other"}'
    twice = "x-api-key: one\r\nX-Api-Key: two\r\n"
    async with credentials(tmp_path, variant, models) as (deployed, servers):
        reader, writer = await asyncio.open_connection(deployed.gateway.host, deployed.gateway.port)
        writer.write(f"{head}{twice}content-length: {len(body)}\r\n\r\n{body}".encode())
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert servers["other"].all_values("x-api-key") == {(OTHER,)}


async def test_no_edit_of_credentials_shows_one_to_another_pool_even_for_a_moment(
    variant, tmp_path
):
    registry = REGISTRY.replace('["<plain>"], health_check: false', '["<plain>"]')
    auth = registry[registry.index("auth:") :]
    async with credentials(tmp_path, variant, SPLIT, registry) as (deployed, servers):
        servers["keyed"].status = servers["other"].status = 503
        servers["plain"].health_delay_s = 0.3  # so that its cluster is the last to change
        text = deployed.registry.read_text()
        of_one = text.replace("    other: {header: x-api-key, value_file: other.secret}\n", "")
        edits = (text.replace(auth, ""), text, of_one, text, text.replace(auth, ""))
        load = continuous_load(str(deployed.gateway), [chat_request("split")], workers=WORKERS)
        async with load as running:
            for each in edits:
                await deployed.write(each)
                await running.answered(50)

    assert servers["plain"].values("authorization") == {None}
    assert servers["plain"].values("x-api-key") == {None}
    assert servers["other"].values("authorization") == {None}
    assert servers["keyed"].values("x-api-key") == {None}
    # What was between two tries at that moment is not tried again.
    assert running.report.failures <= WORKERS * len(edits), running.report.summary()
