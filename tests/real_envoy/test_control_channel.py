"""Real Envoys come in by certificate and by token; one that may not goes on with what it has."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest

from tests.support import command, serve_process
from tests.support.certificates import Authority, replace
from tests.support.guarded import Keys, guarded
from xds_server.demo.envoy import running_envoy
from xds_server.demo.stack import free_address

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
gateways: {{default: {{listen: "{gateway}"}}}}
pools:
  llama: {{endpoints: ["127.0.0.1:9001"], health_check: false}}
models:
  {model}: {{pool: llama}}
"""
TOKEN = "t" * 32


class Site:
    """One control plane and the files of one Envoy."""

    def __init__(self, folder, variant):
        self.folder, self.variant = folder, variant
        self.gateway = free_address()
        self.registry = folder / "registry.yaml"
        self.keys = Keys(folder)
        self.edit("small")

    def edit(self, model):
        self.registry.write_text(REGISTRY.format(gateway=self.gateway, model=model))

    async def bootstrap(self, serving, *flags):
        ran = await command.run(
            "bootstrap", "--node-id", "envoy-1", "--xds-address", serving.xds_address,
            "--variant", self.variant, "--admin-address", "127.0.0.1:0",
            "--max-connections", "100", *flags,
        )  # fmt: skip
        assert ran.code == 0, ran.stderr
        return ran.stdout

    def certificate(self, node_id="envoy-1", authority=None, **options):
        """Write the certificate of the Envoy; return the flags of `bootstrap` for it."""
        authority = authority or self.keys.envoys
        certificate, key = authority.write(self.folder, "envoy", node_id, **options)
        ca = self.folder / "servers-ca.pem"
        return ("--xds-ca", str(ca), "--xds-cert", str(certificate), "--xds-key", str(key))

    def token(self, token=TOKEN):
        """Write the token of the Envoy; return the flags of `bootstrap` for it."""
        path = self.folder / "envoy.token"
        path.write_text(token + "\n")
        return ("--xds-token-file", str(path))


@pytest.fixture
def site(tmp_path, variant):
    return Site(tmp_path, variant)


async def models(site):
    """Return the models that the Envoy routes; none if it does not listen."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{site.gateway}/v1/models") as answer,
        ):
            body = await answer.json()
            return [model["id"] for model in body["data"]]
    except aiohttp.ClientError:
        return []


async def routed(site, model):
    """Wait until the Envoy routes *model*."""
    async with asyncio.timeout(20):
        while await models(site) != [model]:  # noqa: ASYNC110 - Envoy tells of it only when asked
            await asyncio.sleep(0.05)


async def said(serving, *words):
    """Wait until the control plane has written a line with all *words*; return it."""
    async with asyncio.timeout(20):
        while True:
            line = (await serving.process.stderr.readline()).decode()
            assert line, "the control plane ended"
            if all(word in line for word in words):
                return line


async def test_an_envoy_comes_in_by_its_certificate(site):
    async with guarded(site.registry, *site.keys.write()) as serving:
        bootstrap = await site.bootstrap(serving, *site.certificate())
        async with running_envoy(bootstrap, site.folder):
            await routed(site, "small")
            site.edit("large")
            await routed(site, "large")

    assert "PRIVATE KEY" not in bootstrap


async def test_an_envoy_comes_in_by_its_token_which_its_bootstrap_does_not_hold(site):
    accepted = site.folder / "tokens"
    accepted.write_text(TOKEN)
    async with guarded(site.registry, "--token-file", str(accepted)) as serving:
        bootstrap = await site.bootstrap(serving, *site.token())
        async with running_envoy(bootstrap, site.folder) as envoy:
            await routed(site, "small")
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{envoy.admin_address}/config_dump") as answer,
            ):
                dumped = await answer.text()

    assert TOKEN not in bootstrap
    assert TOKEN not in dumped


async def test_an_envoy_comes_in_by_a_token_inside_tls(site):
    accepted = site.folder / "tokens"
    accepted.write_text(TOKEN)
    tls = site.keys.write()[:4]
    async with guarded(site.registry, *tls, "--token-file", str(accepted)) as serving:
        flags = ("--xds-ca", str(site.folder / "servers-ca.pem"), *site.token())
        async with running_envoy(await site.bootstrap(serving, *flags), site.folder):
            await routed(site, "small")


async def test_an_envoy_whose_authority_is_trusted_no_more_routes_on(site):
    flags = site.keys.write()
    async with guarded(site.registry, *flags) as serving:
        bootstrap = await site.bootstrap(serving, *site.certificate())
        async with running_envoy(bootstrap, site.folder):
            await routed(site, "small")
            replace(site.folder / "envoys-ca.pem", Authority("successor").pem)
            await said(serving, "guard.files.replaced")
            await serving.stop()
            address = serving.xds_address
            async with serve_process.serving(
                site.registry, *flags, xds_address=address
            ) as successor:
                await said(successor, "CERTIFICATE_VERIFY_FAILED")
                assert await models(site) == ["small"]
                replace(site.folder / "envoys-ca.pem", site.keys.envoys.pem)
                site.edit("large")
                await routed(site, "large")


async def test_an_envoy_whose_token_is_taken_back_routes_on(site):
    accepted = site.folder / "tokens"
    accepted.write_text(TOKEN)
    flags = ("--token-file", str(accepted))
    async with guarded(site.registry, *flags) as serving:
        bootstrap = await site.bootstrap(serving, *site.token())
        async with running_envoy(bootstrap, site.folder):
            await routed(site, "small")
            await serving.stop()
            replace(accepted, b"u" * 32)
            async with serve_process.serving(
                site.registry, *flags, xds_address=serving.xds_address
            ) as successor:
                await said(successor, "xds.stream.refused", "none of --token-file")
                assert await models(site) == ["small"]
                replace(accepted, TOKEN.encode())
                site.edit("large")
                await routed(site, "large")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"authority": Authority("foreign")}, "CERTIFICATE_VERIFY_FAILED"),
        ({"lasts": timedelta(days=-1)}, "certificate has expired"),
        ({"node_id": "envoy-2"}, "its certificate has envoy-2"),
    ],
    ids=["foreign authority", "expired", "foreign id"],
)
async def test_an_envoy_with_a_wrong_certificate_is_told_of_and_gets_nothing(site, options, words):
    async with guarded(site.registry, *site.keys.write()) as serving:
        bootstrap = await site.bootstrap(serving, *site.certificate(**options))
        # With nobody to ask it never is ready, and its listeners are never there.
        envoy = asyncio.ensure_future(running_envoy(bootstrap, site.folder).__aenter__())
        try:
            await said(serving, words)
            assert await models(site) == []
        finally:
            envoy.cancel()
            await asyncio.gather(envoy, return_exceptions=True)
