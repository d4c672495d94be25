"""Who shows the key of a client is let in, under that client's name, and nobody else is."""

from __future__ import annotations

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from snapshots.explain import Request, explain
from snapshots.ir.translate import translate
from snapshots.registry.loader import load_registry
from snapshots.resources import no_model_routes
from tests.support.deployment import Answer, Deployment, deployment
from tests.support.header_server import header_server
from tests.support.load import chat_request, continuous_load

pytestmark = pytest.mark.envoy

WIDE_KEY = "wide-0123456789abcdef"
NARROW_KEY = "narrow-0123456789abcdef"
THIRD_KEY = "third-0123456789abcdef!$&'*+^`|~"
OTHER_KEY = "other-0123456789abcdef"
SETTLE_TIMEOUT_S = 20.0
ANSWERS_BETWEEN = 40

REGISTRY = f"""\
version: 1
gateways: {{default: {{listen: "<gateway>", access_log: "<log>"}}}}
pools:
  small: {{endpoints: ["<server>"], adapters: [poems]}}
  large: {{endpoints: ["<server>"], model: org/large}}
models:
  one: {{pool: small, aliases: [uno], paths: [/v1/one]}}
  two: {{pool: large, aliases: [dos], paths: [/v1/two]}}
extraction: {{mode: <mode>}}
auth:
  clients:
    wide: {{key_file: keys/wide}}
    narrow: {{key_file: keys/narrow, models: [one]}}
    third: {{key_sha256: {hashlib.sha256(THIRD_KEY.encode()).hexdigest()}, models: [two, poems]}}
"""


@asynccontextmanager
async def guarded(folder: Path, variant, mode: str = "ext_proc", registry: str = REGISTRY):
    """Run a deployment with three clients, two of whose keys stand in files."""
    (folder / "keys").mkdir()
    (folder / "keys" / "wide").write_text(f"{WIDE_KEY}\n")
    (folder / "keys" / "narrow").write_text(NARROW_KEY)
    text = registry.replace("<log>", str(folder / "access.log")).replace("<mode>", mode)
    async with deployment(text, ("server",), folder, variant) as deployed:
        yield deployed


async def ask(
    deployed: Deployment, key: str | None, model: str = "one", path: str = "/v1/chat/completions"
) -> Answer:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return await deployed.post(path, {"model": model, "messages": []}, headers)


async def listed(deployed: Deployment, key: str) -> list[str]:
    answer = await deployed.send("GET", "/v1/models", headers={"x-api-key": key})
    return [entry["id"] for entry in answer.json["data"]]


async def until_answered(deployed: Deployment, key: str, status: int) -> None:
    """Ask with *key* until the answer has *status*."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while (await ask(deployed, key)).status != status:  # noqa: ASYNC110 - Envoy only answers
            await asyncio.sleep(0.02)


async def refusal_of_registry(deployed: Deployment) -> str:
    """Wait until the control plane refuses what it finds, and return why."""
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while not (error := (await deployed.status())["registry"]["error"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return error


def code(answer: Answer) -> tuple[int, str | None]:
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.error["code"]


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
async def test_a_key_opens_what_its_client_may_use_and_nothing_else(variant, tmp_path, mode):
    async with guarded(tmp_path, variant, mode) as deployed:
        statuses = {
            (name, model): (await ask(deployed, key, model)).status
            for name, key in (("wide", WIDE_KEY), ("narrow", NARROW_KEY), ("third", THIRD_KEY))
            for model in ("one", "uno", "two", "dos", "poems")
        }
        by_path = {
            (name, path): (await ask(deployed, key, "x", f"{path}/chat/completions")).status
            for name, key in (("wide", WIDE_KEY), ("narrow", NARROW_KEY), ("third", THIRD_KEY))
            for path in ("/v1/one", "/v1/two")
        }
        refused = await ask(deployed, NARROW_KEY, "two")
        unknown = await ask(deployed, NARROW_KEY, "three")

    assert {key for key, status in statuses.items() if status == 200} == {
        *(("wide", model) for model in ("one", "uno", "two", "dos", "poems")),
        *(("narrow", model) for model in ("one", "uno")),
        *(("third", model) for model in ("two", "dos", "poems")),
    }
    assert set(statuses.values()) == set(by_path.values()) == {200, 403}
    assert {key for key, status in by_path.items() if status == 403} == {
        ("narrow", "/v1/two"),
        ("third", "/v1/one"),
    }
    assert code(refused) == (403, "model_not_allowed")
    assert refused.error["param"] == "model"
    assert "`two`" in refused.error["message"]
    assert code(unknown) == (404, "model_not_found")


async def test_the_list_of_models_shows_a_client_what_it_may_use(variant, tmp_path):
    async with guarded(tmp_path, variant) as deployed:
        lists = {key: await listed(deployed, key) for key in (WIDE_KEY, NARROW_KEY, THIRD_KEY)}
        stranger = await deployed.send("GET", "/v1/models")

    assert lists == {
        WIDE_KEY: ["dos", "one", "poems", "two", "uno"],
        NARROW_KEY: ["one", "uno"],
        THIRD_KEY: ["dos", "poems", "two"],
    }
    assert code(stranger) == (401, "invalid_api_key")


async def test_a_server_sees_the_client_but_no_key(variant, tmp_path):
    async with (
        header_server() as server,
        guarded(tmp_path, variant, registry=REGISTRY.replace("<server>", server)) as deployed,
    ):
        answers = [
            await deployed.post("/v1/completions", {"model": "two"}, headers)
            for headers in (
                {"authorization": f"Bearer {WIDE_KEY}", "x-gateway-client": "third"},
                {"authorization": f"bEaReR  {WIDE_KEY}"},
                {"x-api-key": WIDE_KEY, "authorization": "Basic dXNlcjpwYXNz"},
                {"x-api-key": WIDE_KEY, "authorization": f"Bearer {WIDE_KEY}"},
            )
        ]

    assert [answer.status for answer in answers] == [200] * 4
    for answer in answers:
        assert answer.json["x-gateway-client"] == "wide"
        assert not {"authorization", "x-api-key"} & set(answer.json)


WRONG = {
    "none": [],
    "a client's name": [("x-gateway-client", "wide")],
    "unknown": [("authorization", f"Bearer {OTHER_KEY}")],
    "empty": [("authorization", "Bearer "), ("x-api-key", "")],
    "without scheme": [("authorization", WIDE_KEY)],
    "of another scheme": [("authorization", f"Basic {WIDE_KEY}")],
    "a key and more": [("authorization", f"Bearer {WIDE_KEY} {WIDE_KEY}")],
    "twice": [("authorization", f"Bearer {WIDE_KEY}"), ("authorization", f"Bearer {WIDE_KEY}")],
    "twice as x-api-key": [("x-api-key", WIDE_KEY), ("x-api-key", WIDE_KEY)],
    "two clients": [("authorization", f"Bearer {WIDE_KEY}"), ("x-api-key", NARROW_KEY)],
    "one right": [("authorization", f"Bearer {OTHER_KEY}"), ("x-api-key", WIDE_KEY)],
    "not ASCII": [("x-api-key", "schlüssel-schlüssel")],
    "long": [("x-api-key", WIDE_KEY * 1000)],
    "the digest": [("x-api-key", hashlib.sha256(WIDE_KEY.encode()).hexdigest())],
    "the marker": [("x-api-key", "checked")],
    "a part": [("x-api-key", WIDE_KEY[:-1])],
}


async def test_nobody_else_gets_in(variant, tmp_path):
    async with guarded(tmp_path, variant) as deployed:
        answers = {}
        for what, headers in WRONG.items():
            answers[what] = await deployed.send(
                "POST",
                "/v1/chat/completions",
                data=b'{"model": "one"}',
                headers=[("content-type", "application/json"), *headers],
            )
        huge = await deployed.send(
            "POST", "/v1/completions", data=b"{}", headers={"x-api-key": "k" * 100_000}
        )
        by_path = await deployed.post("/v1/one/completions", {})

    assert {what: code(answer) for what, answer in answers.items()} == dict.fromkeys(
        WRONG, (401, "invalid_api_key")
    )
    assert {answer.server for answer in answers.values()} == {None}
    assert answers["none"].headers["www-authenticate"] == 'Bearer realm="modelyard"'
    assert huge.status == 431
    assert code(by_path) == (401, "invalid_api_key")


async def test_a_key_that_is_missing_is_said_before_the_body_is_read(variant, tmp_path):
    async with guarded(tmp_path, variant) as deployed:
        reader, writer = await asyncio.open_connection(deployed.gateway.host, deployed.gateway.port)
        writer.write(
            b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n{"
        )
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            status_line = await reader.readline()
        writer.close()

    assert status_line == b"HTTP/1.1 401 Unauthorized\r\n"


async def test_a_changed_file_changes_the_key_without_a_touch_of_the_registry(variant, tmp_path):
    async with guarded(tmp_path, variant) as deployed:
        key_file = tmp_path / "keys" / "wide"
        key_file.write_text(OTHER_KEY)
        await until_answered(deployed, OTHER_KEY, 200)
        old = await ask(deployed, WIDE_KEY)
        key_file.unlink()
        error = await refusal_of_registry(deployed)
        still = await ask(deployed, OTHER_KEY)
        (tmp_path / "next").write_text(WIDE_KEY)
        (tmp_path / "next").rename(key_file)
        await until_answered(deployed, WIDE_KEY, 200)
        healed = (await deployed.status())["registry"]["error"]

    assert code(old) == (401, "invalid_api_key")
    assert "auth.clients.wide.key_file" in error
    assert "does not exist" in error
    assert ":12:12:" in error
    assert still.status == 200
    assert healed is None


async def test_a_key_appears_nowhere(variant, tmp_path, capfd):
    async with guarded(tmp_path, variant) as deployed:
        await ask(deployed, WIDE_KEY)
        await ask(deployed, NARROW_KEY, "two")
        await ask(deployed, OTHER_KEY)
        await deployed.send("GET", f"/v1/models?key={OTHER_KEY}", headers={"x-api-key": WIDE_KEY})
        (tmp_path / "keys" / "wide").write_text("short-key")
        await refusal_of_registry(deployed)
        told = [
            json.dumps(await deployed.status()),
            json.dumps(await deployed.admin("/config_dump")),
        ]
    told += [(tmp_path / "access.log").read_text(), deployed.envoy.log.read_text()]
    told += capfd.readouterr()

    for text in told:
        for key in (WIDE_KEY, NARROW_KEY, THIRD_KEY, OTHER_KEY, "short-key"):
            assert key not in text


async def test_the_access_log_names_client_model_and_what_became_of_it(variant, tmp_path):
    async with guarded(tmp_path, variant) as deployed:
        await ask(deployed, WIDE_KEY, "uno")
        await ask(deployed, NARROW_KEY, "two")
        await ask(deployed, None)
        await ask(deployed, THIRD_KEY, "two", "/v1/two/chat/completions")
        await deployed.send("GET", "/v1/models", headers={"x-api-key": WIDE_KEY})
    lines = [json.loads(line) for line in (tmp_path / "access.log").read_text().splitlines()]

    fields = ("client", "model", "base_model", "cluster", "status", "path")
    chat = "/v1/chat/completions"
    assert [tuple(line[field] for field in fields) for line in lines] == [
        ("wide", "uno", "one", "pool/small", 200, chat),
        ("narrow", "two", None, None, 403, chat),
        (None, "-", None, "no-model", 401, chat),
        ("third", "two", "two", "pool/large", 200, "/v1/two/chat/completions"),
        ("wide", "-", None, None, 200, "/v1/models"),
    ]
    assert lines[0]["duration_ms"] >= lines[0]["first_byte_ms"] >= 0
    assert lines[0]["bytes_sent"] > lines[0]["bytes_received"] > 0


async def test_nobody_gets_in_while_envoy_does_not_know_the_clients(variant, tmp_path, monkeypatch):
    monkeypatch.setattr(no_model_routes, "key_check", lambda _clients: {})
    async with guarded(tmp_path, variant) as deployed:
        answers = [await ask(deployed, key) for key in (None, OTHER_KEY, WIDE_KEY)]
        listed = await deployed.send("GET", "/v1/models")

    assert {code(answer) for answer in (*answers, listed)} == {(503, "clients_unavailable")}
    assert listed.headers["retry-after"]


async def test_clients_come_and_go_without_a_lost_request(variant, tmp_path):
    open_to_all, guards = REGISTRY.split("auth:")
    allowed = chat_request("one", headers={"authorization": f"Bearer {WIDE_KEY}"})
    async with guarded(tmp_path, variant, registry=open_to_all) as deployed:
        open_to_all = deployed.registry.read_text()
        async with continuous_load(str(deployed.gateway), [allowed]) as load:
            await load.answered(ANSWERS_BETWEEN)
            await deployed.write(f"{open_to_all}auth:{guards}")
            await load.answered(ANSWERS_BETWEEN)
            await until_answered(deployed, OTHER_KEY, 401)
            await deployed.edit("models: [one]}", "models: [two]}")
            await load.answered(ANSWERS_BETWEEN)
            await deployed.edit("    narrow: {key_file: keys/narrow, models: [two]}\n", "")
            await load.answered(ANSWERS_BETWEEN)
            await deployed.write(open_to_all)
            await load.answered(ANSWERS_BETWEEN)
            await until_answered(deployed, OTHER_KEY, 200)

    assert load.report.failures == 0, load.report.summary()


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
async def test_wildcards_and_the_default_model_are_kept_from_clients_too(variant, tmp_path, mode):
    registry = REGISTRY.replace("models:\n  one:", 'models:\n  "ft:*": {pool: small}\n  one:')
    registry += "default_model: two\n"
    async with guarded(tmp_path, variant, mode, registry) as deployed:
        answers = {
            name: [
                (await ask(deployed, key, "ft:mine")).status,
                (await deployed.post("/v1/completions", {}, {"x-api-key": key})).status,
            ]
            for name, key in (("wide", WIDE_KEY), ("narrow", NARROW_KEY), ("third", THIRD_KEY))
        }

    assert answers == {"wide": [200, 200], "narrow": [403, 403], "third": [403, 200]}


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
async def test_each_client_keeps_its_pool_where_the_model_is_sticky_by_clients(
    variant, tmp_path, mode
):
    keys = {f"client-{number}": f"key-of-{number:012}" for number in range(16)}
    clients = "".join(
        f"    {name}: {{key_sha256: {hashlib.sha256(key.encode()).hexdigest()}}}\n"
        for name, key in keys.items()
    )
    registry = f"""\
version: 1
extraction: {{mode: {mode}}}
pools:
  a: {{endpoints: ["<server>"]}}
  b: {{endpoints: ["<server>"]}}
models:
  one: {{split: {{a: 1, b: 1}}, sticky: {{client: true}}, paths: [/v1/one]}}
auth:
  clients:
{clients}"""
    async with deployment(registry, ("server",), tmp_path, variant) as deployed:
        pools = [
            [(await ask(deployed, key, path=path)).pool for key in keys.values()]
            for path in ("/v1/chat/completions", "/v1/chat/completions", "/v1/one/chat/completions")
        ]

        (gateway,) = translate(load_registry(deployed.registry.read_bytes(), "r")).gateways
        told = [explain(gateway, Request("one", client=name)).user_pool for name in keys]

    assert pools[0] == pools[1] == pools[2] == told
    assert set(pools[0]) == {"a", "b"}
