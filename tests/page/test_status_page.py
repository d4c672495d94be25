"""The status page in a real browser: what a person gets to read."""

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from tests.support.browser import BROWSER, tab
from xds_server.node_status import (
    NodeStatus,
    PastRejection,
    Rejection,
    RejectionElsewhere,
    TypeStatus,
    written,
)
from xds_server.status.draining import DrainingView, WaitView
from xds_server.status.views import RegistryView, StatusView, status_view
from xds_server.status.web import status_app

# CI has one: there its absence is a failure.
pytestmark = pytest.mark.skipif(
    BROWSER is None and "CI" not in os.environ, reason="no browser is installed"
)

NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
REFUSAL = Rejection(
    type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster",
    resource="pool/llama-1b",
    error_detail="<script>document.title = 'taken over'</script><b>bold</b>",
    registry_place="registry.yaml:3:3 (pools.llama-1b)",
)
RUNS = (TypeStatus("cds", "c2", "c2", True), TypeStatus("rds", None, "r1", True))
LATE = (TypeStatus("cds", "c2", "c1", False), TypeStatus("rds", "r1", "r1", False))
PAGES = {"width": 1280, "height": 900}, {"width": 400, "height": 900}


def node(name: str, **differing: object) -> NodeStatus:
    is_there = NodeStatus(name, "default", True, "delta", "1.40.0", "9f2c", True, None)
    since = written(NOW - timedelta(minutes=7))
    good = replace(is_there, gateway="main", connected_at=since, types=RUNS)
    return replace(good, **differing)


def refusing(name: str, **differing: object) -> NodeStatus:
    return node(name, converged=False, revision="0b1d", rejected=REFUSAL, **differing)


def behind(name: str) -> NodeStatus:
    return node(name, converged=False, revision="0b1d", types=LATE)


def view(*nodes: NodeStatus, error: str | None = None) -> StatusView:
    loaded = written(NOW - timedelta(seconds=90))
    return status_view("9f2c", RegistryView("registry.yaml", loaded, error), nodes, NOW)


@asynccontextmanager
async def page(status: StatusView, tmp_path):
    """Show the page of *status*, as it is after the first answer, in a browser."""
    app = status_app(lambda: status, lambda: True, CollectorRegistry())
    async with (
        asyncio.timeout(90),
        TestServer(app) as server,
        tab(str(server.make_url("/")), tmp_path / "profile") as shown,
    ):
        await shown.until("document.title.includes('·')")
        yield shown


async def is_shown(shown, selector: str) -> bool:
    return await shown.value(f"document.querySelector('{selector}').checkVisibility()")


async def names(shown) -> list[str]:
    found = "[...document.querySelectorAll('.name')].map((one) => one.textContent)"
    return await shown.value(found)


async def test_a_fleet_that_runs_the_revision_is_well_at_a_glance(tmp_path):
    async with page(view(node("envoy-1"), node("envoy-2")), tmp_path) as shown:
        assert await shown.text("#summary") == "2 Envoys, all on this revision"
        assert not await is_shown(shown, "#refused")
        assert not await is_shown(shown, "#lost")
        assert await shown.value("document.querySelectorAll('.state.good').length") == 2
        row = await shown.text("#nodes tbody tr")
        assert row == "envoy-1 converged 9f2c main default delta 1.40.0 7 min"


async def test_what_is_refused_is_shown_as_text_and_never_run(tmp_path):
    error = "registry.yaml:1:1: <img src=x onerror=\"document.title = 'taken over'\">"

    async with page(view(node("envoy-1"), refusing("envoy-2"), error=error), tmp_path) as shown:
        assert await shown.text("#summary") == (
            "The newest edit is refused; 2 Envoys go on with what was good before"
        )
        assert await shown.text("#refused-text") == error
        assert REFUSAL.error_detail in await shown.text("#blamed pre")
        assert "taken over" not in await shown.value("document.title")


async def test_the_line_to_blame_is_told_once_for_all_who_refuse_it(tmp_path):
    who = [refusing(f"envoy-{number}") for number in range(12)]

    async with page(view(*who, node("envoy-12")), tmp_path) as shown:
        assert await shown.text("#summary") == "12 of 13 Envoys refuse a part of this revision"
        assert await shown.value("document.querySelectorAll('#blamed > *').length") == 1
        assert await shown.text("#blamed h2") == "12 Envoys refuse Cluster pool/llama-1b"
        assert await shown.text("#blamed .place") == REFUSAL.registry_place
        assert (await shown.text("#blamed .faint")).endswith("envoy-8, envoy-9 and 2 more")


async def test_envoys_that_are_not_given_what_another_refused_are_told_with_the_line(tmp_path):
    facts = {name: getattr(REFUSAL, name) for name in REFUSAL.__slots__}
    kept = replace(behind("envoy-2"), kept_from=RejectionElsewhere(**facts, by="envoy-1"))
    not_given = "So it is not given to envoy-2"

    async with page(view(refusing("envoy-1"), kept), tmp_path) as shown:
        assert await shown.text("#blamed h2") == "1 Envoy refuses Cluster pool/llama-1b"
        assert await shown.text("#blamed p:last-child") == not_given
        why = await shown.text("tr.detail p.wait")
        assert why == "is not given Cluster pool/llama-1b, which envoy-1 refused"

    async with page(view(node("envoy-1"), kept), tmp_path / "gone") as shown:
        assert await shown.text("#blamed h2") == "envoy-1 refused Cluster pool/llama-1b"
        assert await shown.text("#blamed .place") == REFUSAL.registry_place
        assert await shown.text("#summary") == (
            "1 of 2 Envoys is not given a part of this revision, as another refused it"
        )


async def test_of_a_thousand_those_that_want_attention_come_first_and_the_rest_is_folded(
    tmp_path,
):
    fleet = [node(f"envoy-{number}") for number in range(1, 1000)]
    fleet[500], fleet[700] = refusing("envoy-501"), behind("envoy-701")

    async with page(view(*fleet), tmp_path) as shown:
        assert (await names(shown))[:4] == ["envoy-501", "envoy-701", "envoy-1", "envoy-2"]
        assert await shown.value("document.querySelectorAll('#nodes tr').length") < 40
        assert await shown.text("#legend") == "1 refusing 1 behind 997 converged"
        lag = await shown.text("#nodes tr.detail p.wait:last-child")
        assert lag == "rds: not sent, as long as another Envoy refuses a part of it"

        await shown.click("tr.more button")
        assert len(await names(shown)) == 2 + 25 + 500

        await shown.value("searched.value = 'envoy-99'; searched.dispatchEvent(new Event('input'))")
        assert await names(shown) == ["envoy-99", *(f"envoy-{n}" for n in range(990, 1000))]

        await shown.value("searched.value = ''")
        await shown.click("#legend .wait")
        assert await names(shown) == ["envoy-701"]


async def test_a_click_on_an_envoy_tells_how_far_it_is_with_each_service(tmp_path):
    past = PastRejection(**{f: getattr(REFUSAL, f) for f in REFUSAL.__slots__}, at=written(NOW))

    async with page(view(node("envoy-1", last_rejected=past)), tmp_path) as shown:
        await shown.click(".name")

        services = await shown.text(".services")
        assert "cds c2 c2 current rds nothing, it had all r1 current" in services
        assert "registry.yaml:3:3" in await shown.text("tr.detail .faint")

        await shown.click(".name")
        assert not await shown.value("document.querySelector('tr.detail')")


async def test_an_envoy_that_no_gateway_wants_is_told(tmp_path):
    async with page(view(node("envoy-1"), node("stray", gateway="")), tmp_path) as shown:
        assert await shown.text("#unmatched-text") == "stray"


async def test_what_is_draining_is_told_with_who_keeps_it_and_for_how_long(tmp_path):
    drain = DrainingView(
        what="127.0.0.1:8003 of llama-1b",
        pool="llama-1b",
        server="127.0.0.1:8003",
        gateway="*",
        stage="draining",
        since=written(NOW - timedelta(seconds=18)),
        until=written(NOW + timedelta(seconds=42)),
        in_progress=2,
        waiting=12,
        waits_for=(WaitView("envoy-1", "in_progress", 2), WaitView("envoy-2", "behind", 0)),
    )

    async with page(replace(view(node("envoy-1")), draining=(drain,)), tmp_path) as shown:
        assert await shown.text("#draining-list") == (
            "127.0.0.1:8003 of llama-1b: 2 requests in progress, gone in 42 s at most "
            "envoy-1: 2 in progress; envoy-2: has not taken the edit; 10 more Envoys"
        )


async def test_without_an_envoy_it_says_how_to_start_one(tmp_path):
    async with page(view(), tmp_path) as shown:
        assert await shown.text("#summary") == "No Envoy is connected"
        assert "modelyard bootstrap --node-id envoy-1" in await shown.text("#none")


@pytest.mark.parametrize("size", PAGES, ids=lambda size: f"{size['width']} wide")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_is_cut_off_and_everything_can_be_read(size, scheme, tmp_path):
    long = node("an-envoy-of-a-name-" + "that-does-not-end-" * 8, cluster="c" * 90)
    gone = node("gone", connected=False, disconnected_at=written(NOW))

    async with page(view(long, refusing("e-2"), behind("e-3"), gone), tmp_path) as shown:
        await shown.resize(**size)
        await shown.prefer(scheme)
        await shown.click(".name")

        assert await shown.value("document.documentElement.scrollWidth <= innerWidth")
        assert await shown.value(LEAST_CONTRAST) >= 4.5


# Of each text in the page with the ground that it stands on, by the rule of WCAG 2.
LEAST_CONTRAST = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return numbers(colour)[3] === 0 ? ground(element.parentElement) : colour;
  };
  const all = [...document.querySelectorAll("body *")];
  const seen = all.filter((element) => element.checkVisibility()
    && [...element.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()));
  return Math.min(...seen.map((element) => {
    const [one, other] = [light(getComputedStyle(element).color), light(ground(element))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  }));
})()
"""
