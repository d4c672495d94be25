"""The status page in a real browser, where it wants a token."""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from tests.support.browser import BROWSER, tab
from xds_server.node_status import NodeStatus, written
from xds_server.status.door import StatusAccess, StatusDoor
from xds_server.status.views import RegistryView, StatusView, status_view
from xds_server.status.web import status_app

# CI has one: there its absence is a failure.
pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="no browser is installed"
)

TOKEN, OTHER_TOKEN = "t" * 32, "u" * 32
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def view() -> StatusView:
    node = NodeStatus("envoy-1", "default", True, "delta", "1.40.0", "9f2c", True, None)
    return status_view("9f2c", RegistryView("registry.yaml", written(NOW), None), [node], NOW)


@pytest.fixture
async def doors(tmp_path):
    """Return two doors, each with a token of its own."""
    found = []
    for name, token in (("first", TOKEN), ("second", OTHER_TOKEN)):
        (tmp_path / name).write_text(token)
        found.append(StatusDoor(StatusAccess(tmp_path / name)))
        await found[-1].load()
    return found


@asynccontextmanager
async def page(door: StatusDoor, tmp_path):
    """Show the page to somebody who gives the token when the browser asks for it."""
    app = status_app(view, lambda: True, CollectorRegistry(), door=door)
    async with asyncio.timeout(90), TestServer(app) as server:
        url = server.make_url("/").with_user("anybody").with_password(TOKEN)
        async with tab(str(url), tmp_path / "profile") as shown:
            yield shown


async def test_a_browser_shows_the_token_by_itself_once_a_person_has_given_it(tmp_path, doors):
    async with page(doors[0], tmp_path) as shown:
        await shown.until("document.title.includes('·')")

        assert await shown.text("#summary") == "1 Envoy, on this revision"


async def test_a_token_that_is_taken_back_is_said_on_the_page(tmp_path, doors):
    class Changing(StatusDoor):
        """Wants another token once the page and the first status have been told."""

        answered = 0

        def refusal(self, request):
            refusal = doors[self.answered >= 2].refusal(request)
            self.answered += refusal is None
            return refusal

    async with page(Changing(), tmp_path) as shown:
        await shown.until("document.title.startsWith('no token')")

        assert await shown.text("#lost-title") == "The control plane wants another token"
        assert await shown.text("#lost-text") == "Reload the page to give one that is good now."
        assert await shown.text("#summary") == "1 Envoy, on this revision"


async def test_a_page_that_leads_the_browser_here_by_a_name_of_its_own_reads_nothing(tmp_path):
    """As after DNS rebinding: to the browser, the name is that of the page which asks."""
    app = status_app(view, lambda: True, CollectorRegistry())
    rebinding = "--host-resolver-rules=MAP rebound.example 127.0.0.1"
    async with asyncio.timeout(90), TestServer(app) as server:
        url = server.make_url("/status").with_host("rebound.example")
        async with tab(str(url), tmp_path / "profile", rebinding) as shown:
            await shown.until("document.body.innerText.includes('error')")

            assert "is not known as 'rebound.example:" in await shown.text("body")
            assert "envoy-1" not in await shown.text("body")
