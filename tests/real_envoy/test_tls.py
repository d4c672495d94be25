"""TLS towards clients and servers, its files replaced while requests are answered."""

from __future__ import annotations

import asyncio
import base64
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from tests.support.certificates import Authority, replace
from tests.support.deployment import deployment

pytestmark = pytest.mark.envoy

GATEWAY = """\
version: 1
gateways:
  default:
    listen: "<gateway>"
    tls: {certificate: gateway.pem, key: gateway.key}
pools:
  llama: {endpoints: ["<llama>"]}
models:
  small: {pool: llama}
"""
NAME = "gateway.test"
REDACTED = base64.b64encode(b"[redacted]").decode()
"""What Envoy shows in place of a private key."""
ALPN = ["h2", "http/1.1"]


@pytest.fixture(scope="module")
def authority():
    return Authority()


def trusting(authority, certificate=None):
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if certificate:
        context.load_cert_chain(*certificate)
    return context


async def presented(gateway, context):
    """Return the serial number of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        gateway.host, gateway.port, ssl=context, server_hostname=NAME
    )
    serial = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return serial


async def ask(session, gateway, context, *, stream=False):
    body = {"model": "small", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    return await session.post(
        f"https://{gateway}/v1/chat/completions", json=body, ssl=context, server_hostname=NAME
    )


async def until(condition):
    async with asyncio.timeout(15):
        while not await condition():  # noqa: ASYNC110 - Envoy tells of it only when asked
            await asyncio.sleep(0.02)


async def test_a_stream_goes_on_while_new_connections_see_the_new_certificate(
    variant, tmp_path, authority
):
    authority.write(tmp_path, "gateway", NAME)
    context = trusting(authority)
    slow = {"llama": {"token_latency_s": 0.1, "tokens": 30}}
    async with deployment(GATEWAY, slow, tmp_path, variant) as deployed:
        gateway = deployed.gateway
        before = await presented(gateway, context)
        async with aiohttp.ClientSession() as session:
            answer = await ask(session, gateway, context, stream=True)
            first = await answer.content.readline()
            authority.write(tmp_path, "gateway", NAME)

            async def is_new():
                return await presented(gateway, context) != before

            await until(is_new)
            rest = await answer.content.read()

    assert answer.status == 200
    assert first.startswith(b"data:")
    assert rest.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize("fault", ["expired", "mismatched", "empty", "gone"])
async def test_a_bad_certificate_is_said_and_not_served(variant, tmp_path, authority, fault):
    certificate, key = authority.write(tmp_path, "gateway", NAME)
    context = trusting(authority)
    async with deployment(GATEWAY, ("llama",), tmp_path, variant) as deployed:
        before = await presented(deployed.gateway, context)
        if fault == "expired":
            authority.write(tmp_path, "gateway", NAME, lasts=timedelta(days=-1))
        elif fault == "mismatched":
            replace(key, authority.issue(NAME)[1])
        elif fault == "empty":
            replace(certificate, b"")
        else:
            certificate.unlink()

        async def is_said():
            return (await deployed.status())["registry"]["error"]

        await until(is_said)
        said = await is_said()
        shown = await presented(deployed.gateway, context)
        authority.write(tmp_path, "gateway", NAME)

        async def is_mended():
            return not await is_said() and await presented(deployed.gateway, context) != before

        await until(is_mended)

    field = "key" if fault == "mismatched" else "certificate"
    assert "registry.yaml:5:" in said
    assert f"gateways.default.tls.{field}:" in said
    assert shown == before


async def test_old_versions_and_clear_text_are_refused(variant, tmp_path, authority):
    authority.write(tmp_path, "gateway", NAME)
    template = GATEWAY.replace("key: gateway.key", 'key: gateway.key, min_version: "1.3"')
    async with deployment(template, ("llama",), tmp_path, variant) as deployed:
        old, new = trusting(authority), trusting(authority)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        new.set_alpn_protocols(ALPN)
        _, writer = await asyncio.open_connection(
            deployed.gateway.host, deployed.gateway.port, ssl=new, server_hostname=NAME
        )
        alpn = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.close()
        with pytest.raises(ssl.SSLError):
            await presented(deployed.gateway, old)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://{deployed.gateway}/v1/models")

    assert alpn == "h2"


async def test_clients_show_a_certificate_of_the_right_authority(variant, tmp_path, authority):
    strangers, clients = Authority("strangers"), Authority("clients")
    authority.write(tmp_path, "gateway", NAME)
    replace(tmp_path / "clients.pem", clients.pem)
    template = GATEWAY.replace("key: gateway.key", "key: gateway.key, client_ca: clients.pem")
    known = clients.write(tmp_path, "known", "client.test")
    unknown = strangers.write(tmp_path, "unknown", "client.test")
    async with (
        deployment(template, ("llama",), tmp_path, variant) as deployed,
        aiohttp.ClientSession() as session,
    ):
        answer = await ask(session, deployed.gateway, trusting(authority, known))
        for certificate in (None, unknown):
            async with aiohttp.ClientSession() as fresh:
                with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
                    await ask(fresh, deployed.gateway, trusting(authority, certificate))

    assert answer.status == 200


@asynccontextmanager
async def tls_server(context):
    """Run a model server that speaks TLS only, on *context*; gives its port."""

    async def answer(request):
        return web.json_response({"path": request.path, "scheme": request.scheme})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_servers_are_reached_by_tls_and_must_have_the_right_name(
    variant, tmp_path, authority
):
    models = Authority("models")
    paths = models.write(tmp_path, "server", "models.test")
    replace(tmp_path / "models-ca.pem", models.pem)
    replace(tmp_path / "other-ca.pem", authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*paths)
    async with tls_server(context) as port:
        template = f"""\
version: 1
pools:
  right: {{endpoints: ["127.0.0.1:{port}"], tls: {{ca: models-ca.pem, server_name: models.test}}}}
  name:
    endpoints: ["127.0.0.1:{port}"]
    health_check: false
    tls: {{ca: models-ca.pem, server_name: other.test}}
  ca:
    endpoints: ["127.0.0.1:{port}"]
    health_check: false
    tls: {{ca: other-ca.pem, server_name: models.test}}
  system: {{endpoints: ["localhost:{port}"], tls: true, health_check: false}}
models:
  right: {{pool: right}}
  name: {{pool: name}}
  ca: {{pool: ca}}
  system: {{pool: system}}
"""
        async with deployment(template, (), tmp_path, variant) as deployed:
            answers = {
                name: await deployed.chat(name) for name in ("right", "name", "ca", "system")
            }
            replace(tmp_path / "other-ca.pem", models.pem)

            async def is_trusted():
                return (await deployed.chat("ca")).status == 200

            await until(is_trusted)

    assert {name: answer.status for name, answer in answers.items()} == {
        "right": 200,
        "name": 503,
        "ca": 503,
        "system": 503,
    }
    assert answers["right"].json["path"] == "/v1/chat/completions"


async def test_tls_comes_and_goes_with_an_edit(variant, tmp_path, authority):
    authority.write(tmp_path, "gateway", NAME)
    clear = GATEWAY.replace("    tls: {certificate: gateway.pem, key: gateway.key}\n", "")
    async with deployment(clear, ("llama",), tmp_path, variant) as deployed:
        in_clear = await deployed.chat("small")
        await deployed.write(GATEWAY)
        async with aiohttp.ClientSession() as session:
            by_tls = await ask(session, deployed.gateway, trusting(authority))
            await by_tls.read()
        dump = str(await deployed.admin("/config_dump"))
        await deployed.write(clear)
        again = await deployed.chat("small")

    assert (in_clear.status, by_tls.status, again.status) == (200, 200, 200)
    assert REDACTED in dump
    assert base64.b64encode((tmp_path / "gateway.key").read_bytes()).decode() not in dump
