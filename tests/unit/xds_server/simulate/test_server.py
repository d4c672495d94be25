"""The server over real sockets, with a plain HTTP client."""

import gzip
import hashlib
import io
import json

import aiohttp
import pytest

from tests.support.model_server import model_server, model_servers, server_and_session
from xds_server.simulate.server import SimulatedServer, running

CHAT = "/v1/chat/completions"


async def test_an_answer_says_what_arrived_to_the_byte():
    body = b'{"model" : "gr\xc3\xbc\xc3\x9fe",\n "prompt":"hi", "temperature": 1.0}'
    headers = {"x-gateway-model-name": "grüße", "x-gateway-base-model-name": "base"}
    async with (
        server_and_session() as (_, session),
        session.post(CHAT, data=body, headers=headers) as response,
    ):
        answer = await response.json()

    assert response.headers["x-simulate-server"] == "llama-1b-a"
    assert response.headers["x-simulate-model"] == "gr%C3%BC%C3%9Fe"
    assert answer["model"] == "grüße"
    assert answer["system_fingerprint"] == "llama-1b-a"
    assert answer["simulate"] == {
        "server": "llama-1b-a",
        "model": "grüße",
        "path": CHAT,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_bytes": len(body),
        "headers": headers,
    }


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
async def test_bad_json_gets_openais_error(path):
    async with (
        server_and_session() as (_, session),
        session.post(path, data=b'{"model": ') as response,
    ):
        error = (await response.json())["error"]

    assert response.status == 400
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "invalid_json"
    assert response.headers["x-simulate-server"] == "llama-1b-a"


async def test_any_model_is_accepted_unless_the_server_is_strict():
    async with (
        server_and_session() as (_, session),
        session.post(CHAT, json={"model": "other"}) as response,
    ):
        assert response.status == 200

    async with server_and_session(strict_model=True, model="own", adapters=["lora"]) as (
        _,
        session,
    ):
        statuses = {}
        for model in ("own", "lora", "other", None):
            async with session.post(CHAT, json={"model": model}) as response:
                statuses[model] = response.status
                body = await response.json()
                if model == "other":
                    error = body["error"]

    assert statuses == {"own": 200, "lora": 200, "other": 404, None: 200}
    assert error == {
        "message": "The model `other` does not exist.",
        "type": "NotFoundError",
        "param": "model",
        "code": 404,
    }


async def test_models_lists_the_model_and_its_adapters():
    async with server_and_session(model="meta-llama/Llama", adapters=["sql/lora"]) as (_, session):
        async with session.get("/v1/models") as response:
            cards = (await response.json())["data"]
        async with session.get("/v1/models/sql/lora") as response:
            one = await response.json()
        async with session.get("/v1/models/other") as response:
            missing = response.status

    assert [(card["id"], card["parent"]) for card in cards] == [
        ("meta-llama/Llama", None),
        ("sql/lora", "meta-llama/Llama"),
    ]
    assert one == cards[1]
    assert missing == 404


async def test_a_wrong_path_or_method_gets_openais_error():
    async with server_and_session() as (server, session):
        async with session.get("/v2/x") as missing:
            assert (await missing.json())["error"]["message"] == "404 Not Found"
        async with session.get(CHAT) as wrong:
            assert (await wrong.json())["error"]["message"] == "405 Method Not Allowed"

    assert (missing.status, wrong.status) == (404, 405)
    assert wrong.headers["allow"] == "POST"
    assert server.requests == {"unknown": 2}


async def test_failures_are_spread_evenly_and_say_that_they_are_meant():
    async with server_and_session(fail_rate=0.1, fail_status=502) as (_, session):
        statuses = []
        for _ in range(30):
            async with session.post(CHAT, json={"model": "m"}) as response:
                statuses.append(response.status)
                if response.status == 502:
                    error = (await response.json())["error"]

    assert statuses == ([200] * 9 + [502]) * 3
    assert error["code"] == "simulated_failure"
    assert error["message"] == "llama-1b-a fails on purpose (fail_rate 0.1)"


async def test_settings_change_while_it_runs_and_a_wrong_one_changes_nothing():
    async with server_and_session() as (server, session):
        async with session.post("/simulate/settings", json={"healthy": False}) as response:
            changed = await response.json()
        async with session.get("/health") as response:
            sick = response.status
        wrong = {"healthy": True, "latency_s": -1}
        async with session.post("/simulate/settings", json=wrong) as response:
            refused = (response.status, (await response.json())["error"]["message"])
        for body in (b"[]", b"{", b"null"):
            async with session.post("/simulate/settings", data=body) as response:
                assert response.status == 400
        async with session.get("/simulate/settings") as response:
            now = await response.json()

    assert changed["healthy"] is False
    assert sick == 503
    assert refused[0] == 400
    assert refused[1].startswith("Nothing was changed. latency_s: ")
    assert now == changed == server.settings.model_dump()


async def test_latencies_are_asked_of_the_pace():
    waits = []

    async def pace(seconds):
        waits.append(seconds)

    options = {"latency_s": 1.0, "token_latency_s": 2.0, "health_latency_s": 3.0, "tokens": 2}
    async with server_and_session(pace=pace, **options) as (_, session):
        await (await session.get("/health")).read()
        await (await session.post(CHAT, json={"model": "m"})).read()
        await (await session.post(CHAT, json={"model": "m", "stream": True})).read()
        await (await session.post("/v1/embeddings", json={"input": "a"})).read()

    assert waits == [3.0, 1.0, 4.0, 1.0, 2.0, 2.0, 1.0]


async def test_requests_are_counted_by_route_and_the_last_one_is_told():
    async with server_and_session() as (server, session):
        for path in ("/health", "/health", "/v1/models/a", "/v1/models/b"):
            await (await session.get(path)).read()
        await (await session.post(CHAT, json={"model": "m"})).read()
        async with session.get("/simulate/requests") as response:
            told = await response.json()

    counts = {"/health": 2, "/v1/models/{id}": 2, CHAT: 1, "/simulate/requests": 1}
    assert server.requests == told["requests"] == counts
    assert server.last.model == told["last"]["model"] == "m"


async def test_the_metrics_page_counts_answers():
    async with server_and_session() as (_, session):
        await (await session.post(CHAT, json={"model": "m"})).read()
        async with session.get("/metrics") as response:
            page = await response.text()

    line = 'vllm:request_success_total{finished_reason="stop",model_name="llama-1b-a"} 1.0'
    assert line in page.splitlines()
    assert response.content_type == "text/plain"


async def test_a_body_of_50_mb_is_taken_and_one_above_the_limit_refused():
    body = json.dumps({"model": "m", "pad": "x" * 50_000_000}).encode()
    async with server_and_session() as (_, session):
        async with session.post(CHAT, data=io.BytesIO(body)) as response:
            seen = (await response.json())["simulate"]
        async with session.post(CHAT, data=io.BytesIO(body + b" " * 20_000_000)) as response:
            refused = response.status

    assert seen["body_bytes"] == len(body)
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert refused == 413


async def test_a_compressed_body_is_seen_as_it_arrived():
    body = gzip.compress(b'{"model": "m"}')
    headers = {"content-encoding": "gzip"}
    async with (
        server_and_session() as (server, session),
        session.post(CHAT, data=body, headers=headers) as response,
    ):
        assert response.status == 400
    assert server.last is None


async def test_a_model_name_cannot_forge_a_header():
    async with server_and_session() as (_, session):
        body = {"model": "m\r\nx-forged: yes", "stream": True}
        async with session.post(CHAT, json=body) as response:
            assert "x-forged" not in response.headers
            assert response.headers["x-simulate-model"] == "m%0D%0Ax-forged: yes"


async def test_many_servers_run_in_one_process_and_know_who_they_are():
    names = [f"server-{number}" for number in range(20)]
    async with model_servers(*names) as servers, aiohttp.ClientSession() as session:
        for name, server in servers.items():
            async with session.post(f"{server.url}{CHAT}", json={"model": "m"}) as response:
                assert response.headers["x-simulate-server"] == name


async def test_a_taken_port_is_an_os_error_and_leaves_nothing_behind():
    async with model_server() as first:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with running(SimulatedServer(model="m"), port=port):
                pass


async def test_a_server_comes_back_on_the_port_it_had():
    async with model_server() as first:
        port = int(first.address.rpartition(":")[2])
    async with model_server("again", port=port) as again:
        assert again.address == first.address
