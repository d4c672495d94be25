"""Every error that a client can get from the gateway, in OpenAI's shape."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.support.deployment import Answer, Deployment, deployment
from xds_server.demo.stack import free_address

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MAX_BODY_BYTES = 100_000
REGISTRY = """\
version: 1
pools:
  good: {endpoints: ["<good>"], model: a-longer-name}
  plain: {endpoints: ["<good>"]}
  sick: {endpoints: ["<sick>"], health_check: {interval: 1s}}
  refusing: {endpoints: ["<refusing>"], health_check: false}
  slow: {endpoints: ["<slow>"]}
  hanging-up: {endpoints: ["<hanging-up>"], health_check: false}
models:
  good: {pool: good, paths: [/v1/good]}
  plain: {pool: plain, paths: [/v1/plain]}
  sick: {pool: sick, paths: [/v1/sick]}
  refusing: {pool: refusing}
  too-slow: {pool: slow, timeout: 0.2s, paths: [/v1/slow]}
  too-quiet: {pool: slow, idle_timeout: 0.2s}
  hanging-up: {pool: hanging-up}
extraction: {max_body: 100000}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(variant, tmp_path_factory):
    """Run a deployment with servers that are ill, slow, absent, and rude."""
    servers = {"good": {}, "sick": {"healthy": False}, "slow": {"latency_s": 600.0}}
    async with hanging_up() as rude:
        template = REGISTRY.replace("<refusing>", str(free_address())).replace("<hanging-up>", rude)
        folder = tmp_path_factory.mktemp("deployment")
        async with deployment(template, servers, folder, variant) as running:
            yield running


@asynccontextmanager
async def hanging_up():
    """Run a server that takes a request and ends the connection without an answer."""

    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


def assert_error(answer: Answer, status: int, code: str, param: str | None) -> None:
    kind = "invalid_request_error" if status < 500 else "server_error"
    assert (answer.status, answer.server) == (status, None)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == {"error"}
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert (answer.error["code"], answer.error["param"], answer.error["type"]) == (
        code,
        param,
        kind,
    )
    assert answer.error["message"].endswith(".")
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"hello",
        b'{"model": "good"',
        b'{"model": "good",}',
        b'{"model": "good"} x',
        b"{'model': 'good'}",
        b'{"model": "good", "x": "\xff"}',
        b'\xef\xbb\xbf{"model": "good"}',
        b'["good"]',
        b'"good"',
        b"null",
        b"17",
        b'{"model": "good", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
async def test_a_body_that_is_not_a_json_object_is_refused(deployed: Deployment, body):
    answer = await deployed.post("/v1/chat/completions", body)

    assert_error(answer, 400, "invalid_json", None)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"Model": "good"}',
        b'{"model": ""}',
        b'{"model": "  "}',
        b'{"model": null}',
        b'{"model": 1}',
        b'{"model": true}',
        b'{"model": ["good"]}',
        b'{"model": {"model": "good"}}',
        b'{"metadata": {"model": "good"}}',
        b"",
    ],
    ids=lambda body: body.decode(),
)
async def test_a_body_without_a_name_is_refused(deployed: Deployment, body):
    answer = await deployed.post("/v1/chat/completions", body)

    assert_error(answer, 400, "missing_model", "model")


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/unknown", "/v1/models/good", "/v1/chat/completions"])
async def test_a_method_without_a_body_needs_a_path_that_selects_a_model(
    deployed: Deployment, method, path
):
    answer = await deployed.send(method, path)

    assert_error(answer, 400, "missing_model", "model")


@pytest.mark.parametrize(
    "name",
    [
        "unknown",
        "a-longer-name",
        "-",
        "no-model",
        "model/good",
        "Good",
        "модель/ü",
        "😀",
        'quo"te',
        "back\\slash",
        "100%",
        "%REQ(x)%",
        "<script>",
        "a" * 256,
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_a_name_that_is_not_in_the_registry_is_not_found_and_named(
    deployed: Deployment, name, ascii_only
):
    body = json.dumps({"model": name}, ensure_ascii=ascii_only).encode()
    answer = await deployed.post("/v1/chat/completions", body)

    assert_error(answer, 404, "model_not_found", "model")
    assert answer.error["message"] == f"The model `{name}` does not exist."


@pytest.mark.parametrize("name", ["a" * 257, "x" * 50_000, "a\r\nb: c", "a\0b", " good", "\ud800"])
async def test_what_cannot_be_a_name_is_not_found(deployed: Deployment, name):
    answer = await deployed.chat(name)

    assert_error(answer, 404, "model_not_found", "model")
    assert len(answer.body) < 1000


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/completions", "good"),
        ("/v1/good/completions", "good"),
        ("/v1/completions", "plain"),
        ("/v1/plain/completions", "plain"),
    ],
)
async def test_a_body_at_the_limit_passes_and_one_above_it_is_refused(
    deployed: Deployment, path, name
):
    frame = len(f'{{"model":"{name}","prompt":""}}')
    fits, too_large = (
        b'{"model":"%b","prompt":"%b"}' % (name.encode(), b"x" * (size - frame))
        for size in (MAX_BODY_BYTES, MAX_BODY_BYTES + 1)
    )
    good = await deployed.post(path, fits)
    bad = await deployed.post(path, too_large)

    assert (good.status, good.server) == (200, "good")
    assert good.seen["body_bytes"] >= MAX_BODY_BYTES
    assert_error(bad, 413, "request_too_large", None)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/good/completions", "/v1/plain/x"])
async def test_an_upload_without_a_length_is_cut_off_at_the_limit(deployed: Deployment, path):
    async def forever():
        while True:
            yield b"x" * 10_000

    answer = await deployed.send("POST", path, data=forever())

    assert_error(answer, 413, "request_too_large", None)


async def test_a_body_of_50_mb_harms_nobody(deployed: Deployment):
    answer = await deployed.post("/v1/chat/completions", b"[" * 50_000_000)
    next_answer = await deployed.chat("good")

    assert_error(answer, 413, "request_too_large", None)
    assert next_answer.status == 200


async def test_a_body_cut_short_harms_nobody(deployed: Deployment):
    for sent in (b"", b"{", b'{"model": "good"}'):
        reader, writer = await asyncio.open_connection(deployed.gateway.host, deployed.gateway.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n")
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(10):
            assert b"200 OK" not in await reader.read()
        writer.close()
    answer = await deployed.chat("good")

    assert answer.status == 200


@pytest.mark.parametrize("name", ["sick", "refusing"])
async def test_a_pool_without_a_server_that_can_be_reached_is_unavailable(
    deployed: Deployment, name
):
    answer = await deployed.chat(name)

    assert_error(answer, 503, "no_healthy_upstream", None)
    assert int(answer.headers["retry-after"]) > 0


async def test_a_path_to_a_pool_without_servers_is_unavailable(deployed: Deployment):
    post = await deployed.post("/v1/sick/chat/completions", {"prompt": "no model"})
    get = await deployed.send("GET", "/v1/sick/models")

    assert_error(post, 503, "no_healthy_upstream", None)
    assert_error(get, 503, "no_healthy_upstream", None)


@pytest.mark.parametrize("name", ["too-slow", "too-quiet"])
async def test_a_server_that_takes_too_long_is_a_timeout(deployed: Deployment, name):
    answer = await deployed.chat(name)

    assert_error(answer, 504, "upstream_timeout", None)


async def test_a_server_that_takes_too_long_on_a_path_is_a_timeout(deployed: Deployment):
    answer = await deployed.post("/v1/slow/chat/completions", {"prompt": "no model"})

    assert_error(answer, 504, "upstream_timeout", None)


async def test_a_server_that_hangs_up_is_a_bad_gateway(deployed: Deployment):
    answer = await deployed.chat("hanging-up")

    assert_error(answer, 502, "upstream_disconnected", None)


@pytest.mark.parametrize("status", [400, 404, 413, 500, 502, 503, 504])
async def test_an_error_of_a_server_passes_as_it_is(deployed: Deployment, status):
    server = deployed.servers["good"]
    server.settings = server.settings.changed({"fail_rate": 1.0, "fail_status": status})
    try:
        answer = await deployed.chat("good")
    finally:
        server.settings = server.settings.changed({"fail_rate": 0.0})

    assert (answer.status, answer.server, answer.pool) == (status, "good", "good")
    assert answer.error["code"] == "simulated_failure"
    assert "retry-after" not in answer.headers
