"""`mode: native`: Envoy reads the name itself, and no companion runs."""

import hashlib

import pytest
import pytest_asyncio

from snapshots.resources import http_filters
from tests.support.deployment import Deployment, deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target, adapters: [lora]}
  same: {endpoints: ["<same>"]}
models:
  m: {pool: renamed, aliases: [alias], paths: [/v1/renamed]}
  same: {pool: same}
  split: {split: {renamed: 1, same: 0}}
extraction: {mode: native, max_body: 100000}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(variant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    async with deployment(REGISTRY, ("renamed", "same"), folder, variant) as running:
        await running.companion.stop()
        yield running


@pytest.mark.parametrize(
    ("path", "name", "pool", "model", "base_model"),
    [
        ("/v1/completions", "m", "renamed", "org/target", "m"),
        ("/v1/completions", "alias", "renamed", "org/target", "m"),
        ("/v1/completions", "lora", "renamed", "lora", "org/target"),
        ("/v1/completions", "same", "same", "same", "same"),
        ("/v1/completions", "split", "renamed", "org/target", "split"),
        ("/v1/renamed/completions", "other", "renamed", "org/target", "m"),
    ],
)
async def test_requests_are_routed_as_by_the_companion(  # noqa: PLR0913, PLR0917 - one row
    deployed: Deployment, path, name, pool, model, base_model
):
    sent = b'{ "prompt" : "x", "seed": 12345678901234567890,\n"model":"%b"}'
    answer = await deployed.post(path, sent % name.encode())

    assert (answer.status, answer.pool) == (200, pool)
    assert answer.seen["headers"]["x-gateway-base-model-name"] == base_model
    assert answer.seen["body_sha256"] == hashlib.sha256(sent % model.encode()).hexdigest()


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "nonsense"])
async def test_the_content_type_does_not_matter(deployed: Deployment, content_type):
    answer = await deployed.post("/v1/completions", {"model": "m"}, {"content-type": content_type})

    assert (answer.status, answer.pool) == (200, "renamed")


REFUSED = [
    (b"", 400, "missing_model"),
    (b"{}", 400, "missing_model"),
    (b'{"model": null}', 400, "missing_model"),
    (b'{"model": " "}', 400, "missing_model"),
    (b"{", 400, "invalid_json"),
    (b"[]", 400, "invalid_json"),
    (b'{"model": "m"} x', 400, "invalid_json"),
    (b'{"model": "m", "x": "\xff"}', 400, "invalid_json"),
    (b'{"model": "m", "model": "same"}', 400, "ambiguous_model"),
    (b'{"model": "-"}', 404, "model_not_found"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_a_body_that_names_no_model_is_refused(deployed: Deployment, body, status, code):
    answer = await deployed.post("/v1/completions", body)

    assert (answer.status, answer.error["code"], answer.server) == (status, code, None)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.error) == {"message", "type", "param", "code"}
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("name", ["unknown", "M", " m", "m ", "m\r\nx: y", "m\0"])
async def test_an_unknown_name_is_not_found(deployed: Deployment, name):
    answer = await deployed.chat(name)

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_a_body_above_the_limit_is_refused(deployed: Deployment):
    fits = await deployed.chat("m", "x" * 99_000)
    too_large = await deployed.chat("m", "x" * 101_000)

    assert fits.status == 200
    assert fits.seen["body_bytes"] > 99_000
    assert (too_large.status, too_large.error["code"]) == (413, "request_too_large")


async def test_a_routing_header_of_a_client_is_not_obeyed(deployed: Deployment):
    answer = await deployed.post(
        "/v1/completions", {"model": "same"}, {"x-gateway-model-name": "m"}
    )

    assert answer.pool == "same"


async def test_an_upload_of_which_nothing_comes_is_no_body(deployed: Deployment):
    async def nothing():
        for piece in ():
            yield piece

    answer = await deployed.send("POST", "/v1/completions", data=nothing())

    assert (answer.status, answer.error["code"]) == (400, "missing_model")


async def test_an_upload_in_pieces_is_read_as_a_whole(deployed: Deployment):
    async def pieces():
        for byte in b'{"prompt": "x", "mod\\u0065l": "\\u006d"}':
            yield bytes([byte])

    answer = await deployed.send("POST", "/v1/completions", data=pieces())

    assert (answer.status, answer.pool, answer.seen["model"]) == (200, "renamed", "org/target")


@pytest.mark.asyncio(loop_scope="function")
async def test_a_script_that_fails_is_a_clean_503(variant, tmp_path, monkeypatch):
    """Envoy counts the error, and lets the request go on without a model."""
    broken = "function envoy_on_request(handle) handle:body() error('broken') end"
    monkeypatch.setattr(http_filters, "extraction_script", lambda _: broken)
    async with deployment(REGISTRY, ("renamed", "same"), tmp_path, variant) as running:
        answer = await running.chat("m")
        by_path = await running.post("/v1/renamed/completions", {})
        errors = await running.stats("^http.default.lua.errors$")

    assert (answer.status, answer.error["code"]) == (503, "extraction_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert by_path.status == 200
    assert set(errors.values()) == {1}
