"""An external provider, by its URL, beside servers of one's own."""

from __future__ import annotations

import json
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.certificates import Authority
from tests.support.deployment import deployment
from tests.support.load import chat_request, continuous_load
from tests.support.recording_server import recording_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  local: {endpoints: ["<local>"], health_check: false}
  far:
    url: https://localhost:<port>/openai/v1/
    model: far-model
    tls: {ca: ca.pem}
models:
  far: {pool: far}
  split: {split: {local: 1, far: 1}, retries: {attempts: 8, on: [unreachable, 503]}}
  chain: {pool: far, fallback: [local]}
"""


@asynccontextmanager
async def provider(folder, variant, registry=REGISTRY, name="localhost"):
    """Run a deployment with a provider whose certificate is for *name*; yields also servers."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.write(folder, "provider", name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    indicated = []
    context.sni_callback = lambda _socket, name, _context: indicated.append(name)
    async with AsyncExitStack() as stack:
        far = await stack.enter_async_context(recording_server(tls=context))
        local = await stack.enter_async_context(recording_server())
        text = registry.replace("<local>", local.address)
        text = text.replace("<port>", far.address.rpartition(":")[2])
        deployed = await stack.enter_async_context(deployment(text, (), folder, variant))
        yield deployed, far, local, indicated


async def test_a_provider_is_reached_by_tls_under_its_name_and_path(variant, tmp_path):
    async with provider(tmp_path, variant) as (deployed, far, _local, indicated):
        answer = await deployed.chat("far")

    assert answer.status == 200
    assert far.paths == ["/openai/v1/chat/completions"]
    assert far.values("host") == {far.address.replace("127.0.0.1", "localhost")}
    assert {*indicated} == {"localhost"}


@pytest.mark.parametrize("model", ["split", "chain"])
async def test_a_provider_and_a_pool_of_ones_own_stand_in_for_each_other(variant, tmp_path, model):
    async with provider(tmp_path, variant) as (deployed, far, local, _indicated):
        both = {(await deployed.chat(model)).status for _ in range(20)}
        far.status = 503
        both |= {(await deployed.chat(model)).status for _ in range(20)}
        far.status, local.status = 200, 503
        both |= {(await deployed.chat(model)).status for _ in range(20)}

    assert both == {200}
    assert {*far.paths} == {"/openai/v1/chat/completions"}
    assert {*local.paths} == {"/v1/chat/completions"}
    assert far.values("host") == {far.address.replace("127.0.0.1", "localhost")}
    assert local.values("host") == {str(deployed.gateway)}


async def test_a_provider_with_a_certificate_of_another_name_gets_nothing(variant, tmp_path):
    async with provider(tmp_path, variant, name="other.test") as (deployed, far, _local, _sni):
        answer = await deployed.chat("far")

    assert answer.status == 503
    assert far.seen == []


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_a_provider_is_verified_by_what_the_machine_trusts(
    variant, tmp_path, monkeypatch, is_trusted
):
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    trusting = REGISTRY.replace("    tls: {ca: ca.pem}\n", "")
    async with provider(tmp_path, variant, trusting) as (deployed, far, _local, _indicated):
        answer = await deployed.chat("far")
        dump = json.dumps(await deployed.admin("/config_dump?include_eds"))

    assert answer.status == (200 if is_trusted else 503)
    assert bool(far.seen) == is_trusted
    assert "system/authorities" in dump


async def test_a_provider_can_be_reached_in_clear_for_a_test(tmp_path):
    template = "version: 1\npools:\n  far: {url: 'http://<a>'}\nmodels:\n  far: {pool: far}\n"
    async with deployment(template, ("a",), tmp_path) as deployed:
        answer = await deployed.chat("far")

    assert answer.status == 200
    assert answer.seen["path"] == "/v1/chat/completions"


async def test_a_pool_becomes_a_provider_under_load(variant, tmp_path):
    async with provider(tmp_path, variant) as (deployed, far, local, _indicated):
        text = deployed.registry.read_text()
        start, end = text.index("  far:\n"), text.index("models:")
        own = f'  far: {{endpoints: ["{local.address}"]}}\n'
        requests = [chat_request(model) for model in ("far", "split", "chain")]
        async with continuous_load(str(deployed.gateway), requests) as load:
            for each in (text[:start] + own + text[end:], text):
                await deployed.write(each)
                await load.answered(60)

    assert load.report.failures == 0, load.report.summary()
    assert {*local.paths} == {"/v1/chat/completions"}
    assert {*far.paths} == {"/openai/v1/chat/completions"}
