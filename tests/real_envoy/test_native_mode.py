"""`mode: native`: Envoy reads the name itself, and no companion runs."""

import hashlib

import pytest
import pytest_asyncio

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


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_the_content_type_must_be_that_of_json(deployed: Deployment, content_type):
    body = b'{"model": "m"}'
    good = await deployed.post("/v1/completions", body, {"content-type": content_type})
    bad = await deployed.post("/v1/completions", body, {"content-type": "text/plain"})

    assert good.status == 200
    assert (bad.status, bad.error["code"]) == (400, "missing_model")
    assert "application/json" in bad.error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"model": null}', b'{"model": ""}', b'{"model": "-"}']
)
async def test_a_body_without_a_name_is_refused(deployed: Deployment, body):
    answer = await deployed.post("/v1/completions", body)

    assert (answer.status, answer.error["code"]) == (400, "missing_model")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", ["unknown", "M", " m", "m ", "m\r\nx: y", "m\0"])
async def test_an_unknown_name_is_not_found(deployed: Deployment, name):
    answer = await deployed.chat(name)

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")


async def test_a_body_above_the_limit_is_refused(deployed: Deployment):
    fits = await deployed.chat("m", "x" * 99_000)
    too_large = await deployed.chat("m", "x" * 101_000)

    assert fits.status == 200
    assert (too_large.status, too_large.error["code"]) == (413, "request_too_large")


async def test_a_routing_header_of_a_client_is_not_obeyed(deployed: Deployment):
    answer = await deployed.post(
        "/v1/completions", {"model": "same"}, {"x-gateway-model-name": "m"}
    )

    assert answer.pool == "same"
