"""What a client in gzip says beside its body does not keep the body from being read."""

import gzip
import json
import os

import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.echo_server import echo_server

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  renamed: {endpoints: ["<renamed>"], model: org/target}
  echo: {endpoints: ["<echo>"]}
models:
  m: {pool: renamed, paths: [/v1/renamed]}
  echo: {pool: echo, paths: [/v1/echo]}
extraction: {mode: MODE}
"""
GZIP = {"content-encoding": "gzip"}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ext_proc", "native"])
async def deployed(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deployment")
    async with echo_server("echo") as echo:
        registry = REGISTRY.replace("MODE", request.param).replace("<echo>", echo.address)
        async with deployment(registry, ("renamed",), folder) as running:
            yield running


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/renamed/completions"])
@pytest.mark.parametrize("control", ["no-transform", "no-cache, no-transform"])
async def test_a_wish_not_to_be_transformed_is_for_what_is_sent_on(
    deployed: Deployment, path, control
):
    body = gzip.compress(b'{"model": "m"}')
    answer = await deployed.post(path, body, {**GZIP, "cache-control": control})

    assert (answer.status, answer.seen["model"]) == (200, "org/target")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/echo/completions"])
async def test_nothing_tells_the_server_that_there_was_gzip(deployed: Deployment, path):
    body, accepted = b'{"model": "echo"}', {"accept-encoding": "x"}
    plain = await deployed.post(path, body, accepted)
    zipped = await deployed.post(path, gzip.compress(body), {**GZIP, **accepted})

    assert told(zipped.seen["headers"]) == told(plain.seen["headers"])
    assert zipped.seen["body_sha256"] == plain.seen["body_sha256"]


def told(headers: dict[str, str]) -> dict[str, str]:
    """Return *headers* without those of the single request, and of its framing."""
    own = {"content-length", "transfer-encoding", "x-request-id"}
    return {name: value for name, value in headers.items() if name not in own}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/echo/completions"])
async def test_however_well_a_body_was_packed_all_of_it_arrives(deployed: Deployment, path):
    """What cannot be packed beside what can be packed to a thousandth."""
    text = {"a": os.urandom(500_000).hex(), "b": "x" * 8_000_000, "model": "echo"}
    body = json.dumps(text).encode()
    plain = await deployed.post(path, body)
    zipped = await deployed.post(path, gzip.compress(body, 9), GZIP)

    assert zipped.seen["body_sha256"] == plain.seen["body_sha256"]
