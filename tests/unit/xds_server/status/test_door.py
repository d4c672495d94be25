"""Who gets an answer of the status interface, by `Host` and by token."""

from base64 import b64encode
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from xds_server.status.door import StatusAccess, StatusDoor, is_ours, shown_token
from xds_server.status.web import status_app

TOKEN, OTHER_TOKEN = "t" * 32, "u" * 32
GUARDED = ["/", "/status", "/metrics", "/nowhere"]


@asynccontextmanager
async def asking(door, metrics=None):
    app = status_app(dict, lambda: True, metrics or CollectorRegistry(), door=door)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.fixture
async def door(tmp_path):
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    door = StatusDoor(StatusAccess(tmp_path / "tokens"))
    await door.load()
    return door


def basic(credentials):
    return f"Basic {b64encode(credentials.encode()).decode()}"


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    ("shown", "what"),
    [
        ({}, "a token is needed"),
        ({"authorization": "Bearer "}, "a token is needed"),
        ({"authorization": TOKEN}, "a token is needed"),
        ({"authorization": basic(TOKEN)}, "a token is needed"),
        ({"authorization": f"Bearer {OTHER_TOKEN}"}, "this token is not good"),
        ({"authorization": basic(f"{TOKEN}:{OTHER_TOKEN}")}, "this token is not good"),
        ({"authorization": f"Bearer {TOKEN}{TOKEN}"}, "this token is not good"),
    ],
)
async def test_without_a_good_token_nothing_is_told(door, path, shown, what):
    async with asking(door) as client:
        answer = await client.get(path, headers=shown)
        body = await answer.json()

    assert answer.status == 401
    assert body["error"].startswith(f"{what} (hint: ")
    assert answer.headers.getall("WWW-Authenticate")[0] == 'Bearer realm="modelyard"'


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({}, True),
        ({"accept": "text/html,*/*"}, True),
        ({"accept": "text/html,*/*", "authorization": basic(f"anybody:{OTHER_TOKEN}")}, True),
        ({"accept": "*/*", "authorization": basic(f"anybody:{OTHER_TOKEN}")}, False),
    ],
    ids=["none", "none for a page", "a wrong one for a page", "a wrong one for a script"],
)
async def test_a_browser_is_told_to_ask_its_user_but_not_over_and_over(door, headers, asks):
    async with asking(door) as client:
        answer = await client.get("/status", headers=headers)

    challenges = answer.headers.getall("WWW-Authenticate")
    assert any(challenge.startswith("Basic ") for challenge in challenges) is asks


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", basic(f"anybody:{TOKEN}"), basic(f":{TOKEN}")]
)
async def test_a_good_token_opens_every_route(door, authorization):
    async with asking(door) as client:
        codes = [
            (await client.get(path, headers={"authorization": authorization})).status
            for path in GUARDED
        ]

    assert codes == [200, 200, 200, 404]


async def test_two_tokens_at_once_are_none(door):
    async with asking(door) as client:
        headers = [("authorization", f"Bearer {OTHER_TOKEN}"), ("authorization", f"Bearer {TOKEN}")]
        answer = await client.get("/status", headers=headers)

    assert answer.status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_neither_token_nor_name(door, path):
    async with asking(door) as client:
        answer = await client.get(path, headers={"host": "10-0-0-1.pods.example"})

    assert answer.status == 200


@pytest.mark.parametrize("path", ["/healthz/", "/healthz/../status", "/%68ealthz/x", "/HEALTHZ"])
async def test_what_only_looks_like_a_probe_is_guarded(door, path):
    async with asking(door) as client, client.get(path, allow_redirects=False) as answer:
        pass

    assert answer.status == 401


@pytest.mark.parametrize("path", GUARDED)
async def test_a_name_that_is_not_ours_gets_nothing(path):
    async with asking(StatusDoor()) as client:
        answer = await client.get(path, headers={"host": "rebound.example:18001"})
        body = await answer.json()

    assert answer.status == 421
    assert body["error"].startswith("the status interface is not known as 'rebound.example:18001'")
    assert "--status-host" in body["error"]


async def test_names_that_were_allowed_are_ours():
    door = StatusDoor(StatusAccess(hosts=("status.example",)), ["Control-Plane"])
    async with asking(door) as client:
        codes = [
            (await client.get("/status", headers={"host": host})).status
            for host in ("STATUS.example:443", "control-plane:18001", "localhost", "other.example")
        ]

    assert codes == [200, 200, 200, 421]


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:18001", True),
        ("10.1.2.3:80", True),
        ("[::1]:18001", True),
        ("[fe80::1]", True),
        ("localhost:18001", True),
        ("LOCALHOST.", True),
        ("", False),
        (":18001", False),
        ("127.0.0.1.example", False),
        ("127.0.0.1@rebound.example", False),
        ("rebound.example:127.0.0.1", False),
        ("[rebound.example]", False),
        ("[127.0.0.1]", False),
        ("::1", False),
        ("localhost.example", False),
        ("x.localhost", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("localhost..", False),
        ("localhost, rebound.example", False),
    ],
)
def test_a_host_is_ours_if_it_is_an_address_or_a_known_name(host, ours):
    assert is_ours(host, {"localhost"}) is ours


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], ""),
        (["Bearer x"], "x"),
        ([basic("anybody:x")], "x"),
        ([basic("anybody:x:y")], "x:y"),
        (["basic  OnQ="], "t"),
        (["Basic"], ""),
        (["Basic ?"], ""),
        (["Basic x"], ""),
        (["Basic /w=="], ""),
        (["Digest x"], ""),
        (["Bearer x", "Bearer x"], ""),
    ],
)
def test_the_token_is_that_of_a_bearer_or_the_password_of_basic(headers, token):
    assert shown_token(headers) == token


async def test_refusals_are_counted_by_their_reason(door):
    metrics = CollectorRegistry()
    counting = StatusDoor(metrics=metrics)
    async with asking(counting, metrics) as client:
        await client.get("/status", headers={"host": "rebound.example"})
        text = await (await client.get("/metrics")).text()

    assert 'modelyard_status_refusals_total{reason="host"} 1.0' in text
    assert 'modelyard_status_refusals_total{reason="wrong_token"} 0.0' in text


@pytest.mark.parametrize("path", [*GUARDED, "/healthz"])
async def test_other_pages_can_neither_frame_nor_load_an_answer(path):
    async with asking(StatusDoor()) as client:
        answer = await client.get(path)

    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "aiohttp" not in answer.headers["Server"]
