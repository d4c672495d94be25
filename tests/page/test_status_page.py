"""The status page in a real browser: what a person gets to read."""

import asyncio
import html
import os
import re
import shutil
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from xds_server.node_status import NodeStatus, Rejection, written
from xds_server.status.views import RegistryView, StatusView, status_view
from xds_server.status.web import status_app

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=1500")

# CI has one: there its absence is a failure.
pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="no browser is installed"
)

REFUSAL = Rejection(
    type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
    resource="pool/llama-1b",
    error_detail="<script>document.title = 'taken over'</script><b>bold</b>",
    registry_place="registry.yaml:3:3 (pools.llama-1b)",
)


def node(name: str, *, connected=True, converged=True, rejected=None) -> NodeStatus:
    return NodeStatus(name, "default", connected, "delta", "1.40.0", "9f2c", converged, rejected)


def view(*nodes: NodeStatus, error: str | None = None) -> StatusView:
    now = datetime.now(UTC)
    return status_view("9f2c", RegistryView("registry.yaml", written(now), error), nodes, now)


async def page(status: StatusView, profile) -> str:
    """Return the page as the browser has it after the first refresh."""
    app = status_app(lambda: status, lambda: True, CollectorRegistry())
    async with TestServer(app) as server, asyncio.timeout(60):
        browser = await asyncio.create_subprocess_exec(
            BROWSER,
            *OPTIONS,
            f"--user-data-dir={profile}",
            "--dump-dom",
            str(server.make_url("/")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await browser.communicate()
    return output.decode()


def shown(page: str, element: str) -> str | None:
    """Return the text of the element with this id; None if it is hidden."""
    tag, content = re.search(rf'(<[^>]* id="{element}"[^>]*>)(.*?)</', page, re.DOTALL).groups()
    return None if " hidden" in tag else html.unescape(content)


async def test_a_fleet_that_runs_the_revision_is_well_at_a_glance(tmp_path):
    text = await page(view(node("envoy-1"), node("envoy-2")), tmp_path)

    assert shown(text, "summary") == "2 Envoys, all on this revision"
    assert shown(text, "refused") is None
    assert shown(text, "lost") is None
    assert text.count('class="state good">converged<') == 2


async def test_what_is_refused_is_shown_as_text_and_never_run(tmp_path):
    refusing = node("envoy-2", converged=False, rejected=REFUSAL)
    error = "registry.yaml:1:1: <img src=x onerror=\"document.title = 'taken over'\">"

    text = await page(view(node("envoy-1"), refusing, error=error), tmp_path)

    assert shown(text, "summary") == "1 of 2 Envoys refused a part of this revision"
    assert shown(text, "refused-text") == error
    assert html.escape(REFUSAL.error_detail, quote=False) in text
    assert "<code>registry.yaml:3:3 (pools.llama-1b)</code>" in text.replace(' class=""', "")
    assert "<title>taken over" not in text


async def test_without_an_envoy_it_says_how_to_start_one(tmp_path):
    text = await page(view(), tmp_path)

    assert shown(text, "summary") == "No Envoy is connected"
    assert "modelyard bootstrap --node-id envoy-1" in shown(text, "none")
