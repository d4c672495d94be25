"""Bodies in gzip: plain for whoever reads them behind the listener, in both modes."""

import gzip
import hashlib
import json
import os

import pytest
import pytest_asyncio

from tests.support.deployment import Answer, Deployment, deployment
from tests.support.echo_server import echo_server

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target}
  same: {endpoints: ["<same>"]}
  echo: {endpoints: ["<echo>"]}
models:
  echo: {pool: echo, paths: [/v1/echo]}
  m: {pool: renamed, paths: [/v1/renamed]}
  same: {pool: same, paths: [/v1/same]}
extraction: {mode: MODE}
"""
GZIP = {"content-encoding": "gzip"}
BODY = b'{"prompt": "x", "model": "m"}'
RENAMED = b'{"prompt": "x", "model": "org/target"}'
LIMIT = 16 * 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ext_proc", "native"])
async def deployed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    async with echo_server("echo") as echo:
        registry = REGISTRY.replace("MODE", request.param).replace("<echo>", echo.address)
        async with deployment(registry, ("renamed", "same"), folder) as running:
            yield running


def assert_received(answer: Answer, body: bytes) -> None:
    assert answer.status == 200, answer.body
    assert answer.seen["body_sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("headers", [GZIP, {**GZIP, "cache-control": "no-transform"}])
@pytest.mark.parametrize(
    ("path", "received"),
    [("/v1/completions", RENAMED), ("/v1/renamed/completions", RENAMED), ("/v1/same/x", BODY)],
)
async def test_the_server_receives_it_plain(deployed: Deployment, path, received, headers):
    answer = await deployed.post(path.replace("/x", "/completions"), gzip.compress(BODY), headers)

    assert_received(answer, received)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/echo/completions"])
async def test_nothing_tells_the_server_that_there_was_gzip(deployed: Deployment, path):
    plain = await deployed.post(path, b'{"model": "echo"}', {"accept-encoding": "x"})
    zipped = await deployed.post(
        path, gzip.compress(b'{"model": "echo"}'), {**GZIP, "accept-encoding": "x"}
    )

    frame = {"content-length", "transfer-encoding", "x-request-id"}
    assert {k: v for k, v in zipped.seen["headers"].items() if k not in frame} == {
        k: v for k, v in plain.seen["headers"].items() if k not in frame
    }


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
async def test_a_large_body_is_made_plain_whole(deployed: Deployment, path):
    template = json.dumps({"prompt": os.urandom(1_000_000).hex(), "x": "x" * 8_000_000, "model": 1})
    sent, received = (template.replace(" 1}", f' "{name}"}}') for name in ("m", "org/target"))
    answer = await deployed.post(path, gzip.compress(sent.encode()), GZIP)

    assert_received(answer, received.encode())


async def test_pieces_of_it_are_put_together(deployed: Deployment):
    async def pieces():
        for byte in gzip.compress(BODY):
            yield bytes([byte])

    answer = await deployed.send("POST", "/v1/completions", data=pieces(), headers=GZIP)

    assert_received(answer, RENAMED)


@pytest.mark.parametrize("encoding", ["identity", "Identity", "GZIP", ""])
async def test_the_spelling_does_not_matter(deployed: Deployment, encoding):
    body = gzip.compress(BODY) if encoding == "GZIP" else BODY
    answer = await deployed.post("/v1/completions", body, {"content-encoding": encoding})

    assert_received(answer, RENAMED)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip,br", "x-gzip"])
async def test_any_other_encoding_is_refused(deployed: Deployment, path, encoding):
    answer = await deployed.post(path, BODY, {"content-encoding": encoding})

    assert (answer.status, answer.server) == (415, None)
    assert answer.headers["content-type"] == "application/json"
    assert answer.error["code"] == "unsupported_content_encoding"


DAMAGED = {
    "cut short": gzip.compress(BODY)[:-15],
    "no gzip": BODY,
    "one changed byte": gzip.compress(BODY)[:12] + b"\0" + gzip.compress(BODY)[13:],
    "in two members": gzip.compress(BODY[:10]) + gzip.compress(BODY[10:]),
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
async def test_what_is_damaged_is_refused(deployed: Deployment, body):
    """Envoy itself lets pass what it could inflate."""
    answer = await deployed.post("/v1/completions", body, GZIP)

    assert (answer.status, answer.server) == (400, None)
    assert answer.error["code"] == "invalid_json"


async def test_no_body_is_no_model(deployed: Deployment):
    answer = await deployed.post("/v1/completions", b"", GZIP)

    assert (answer.status, answer.error["code"]) == (400, "missing_model")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions", "/v1/same/x"])
async def test_the_limit_is_that_of_the_plain_body(deployed: Deployment, path):
    bomb = gzip.compress(b'{"model": "m", "x": "' + b"x" * (3 * LIMIT), 9)
    answer = await deployed.post(path, bomb, GZIP)
    next_answer = await deployed.chat("m")

    assert len(bomb) < LIMIT // 200
    assert (answer.status, answer.server) == (413, None)
    assert answer.error["code"] == "request_too_large"
    assert next_answer.status == 200
