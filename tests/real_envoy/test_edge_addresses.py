"""Whose word counts on where a request comes from: nobody's, or that of the proxies before us."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment
from tests.support.header_server import header_server
from tests.support.http2_frames import DATA, END_STREAM, frame, head_frames, http2_frames

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
gateways:
  default: {listen: "<gateway>", trusted_hops: HOPS, access_log: "LOG", response_headers: SHOWN}
pools:
  one: {endpoints: ["<headers>"], health_check: false}
models:
  one: {pool: one, paths: [/v1/one]}
"""
CLAIMED = "6.6.6.6"
CLIENT = "203.0.113.9"
BALANCER = "10.0.1.7"
CLAIMS = {
    "x-forwarded-for": CLAIMED,
    "x-forwarded-host": "bank.test",
    "x-forwarded-proto": "https",
    "x-forwarded-port": "443",
    "X-Forwarded-Client-Cert": "Subject=admin",
    "forwarded": f"for={CLAIMED}",
    "x-real-ip": CLAIMED,
    "true-client-ip": CLAIMED,
    "x-request-id": "theirs",
}
GOOD = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "modelyard.test"),
    (":path", "/v1/completions"),
]
SWITCHES = {
    "x-envoy-max-retries": "1000",
    "x-envoy-retry-on": "5xx",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-internal": "true",
    "x-envoy-external-address": CLAIMED,
    "x-envoy-force-trace": "true",
    "X-Envoy-Original-Path": "/admin",
    "x-envoy-decorator-operation": "theirs",
}


@asynccontextmanager
async def trusting(folder, variant, hops: int, *, shown: bool = True):
    async with header_server() as address:
        template = REGISTRY.replace("<headers>", address).replace("HOPS", str(hops))
        template = template.replace("LOG", str(folder / "access.log"))
        template = template.replace("SHOWN", str(shown).lower())
        async with deployment(template, (), folder, variant) as deployed:
            yield deployed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployed(variant, tmp_path_factory):
    async with trusting(tmp_path_factory.mktemp("nobody"), variant, 0) as running:
        yield running


async def seen(deployed: Deployment, headers, path: str = "/v1/completions") -> dict[str, str]:
    """Return the headers that a server sees of a request with *headers*."""
    answer = await deployed.post(path, {"model": "one"}, headers)
    assert answer.status == 200
    return answer.json


def logged_addresses(deployed: Deployment) -> list[str]:
    lines = (deployed.folder / "access.log").read_text().splitlines()
    return [json.loads(line)["remote_address"] for line in lines]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/one/completions"])
async def test_nobody_can_say_where_a_request_comes_from(deployed: Deployment, path):
    plain = await seen(deployed, {}, path)
    claimed = await seen(deployed, CLAIMS, path)

    varying = {"x-request-id"}
    assert {**claimed, **dict.fromkeys(varying)} == {**plain, **dict.fromkeys(varying)}
    assert claimed["x-forwarded-proto"] == "http"
    assert claimed["x-request-id"] != "theirs"
    assert CLAIMED not in str(claimed)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/one/completions"])
async def test_nobody_can_switch_what_envoy_does(deployed: Deployment, path):
    plain = await seen(deployed, {}, path)
    switched = await seen(deployed, SWITCHES, path)

    assert set(switched) == set(plain)
    assert "1000" not in str(switched)
    assert switched["x-envoy-expected-rq-timeout-ms"] == "300000"


@pytest.mark.parametrize(
    ("hops", "arrives", "client"),
    [
        (1, f"{CLAIMED}, {CLIENT}", CLIENT),
        (2, f"{CLAIMED}, {CLIENT}, {BALANCER}", CLIENT),
        (1, CLIENT, CLIENT),
    ],
)
async def test_trusted_proxies_say_who_the_client_is(tmp_path, variant, hops, arrives, client):
    async with trusting(tmp_path, variant, hops) as deployed:
        headers = await seen(
            deployed,
            {"x-forwarded-for": arrives, "x-forwarded-proto": "https", "x-request-id": "theirs"},
        )

    assert logged_addresses(deployed) == [client]
    assert headers["x-envoy-external-address"] == client
    assert headers["x-forwarded-for"].startswith(f"{arrives},")
    assert (headers["x-forwarded-proto"], headers["x-request-id"]) == ("https", "theirs")


async def test_without_proxies_the_log_has_the_address_of_the_connection(tmp_path, variant):
    async with trusting(tmp_path, variant, 0) as deployed:
        await seen(deployed, CLAIMS)

    assert logged_addresses(deployed) == ["127.0.0.1"]


@pytest.mark.parametrize("shown", [True, False])
async def test_answers_say_nothing_of_what_stands_behind(tmp_path, variant, shown):
    async with trusting(tmp_path, variant, 0, shown=shown) as deployed:
        answer = await deployed.post("/v1/completions", {"model": "one"})
        refused = await deployed.post("/v1/completions", {"model": "other"})

    assert answer.headers["server"] == refused.headers["server"] == "modelyard"
    ours = {"server", "date", "content-type", "content-length"}
    if not shown:
        assert set(answer.headers) == ours
    assert set(refused.headers) == ours


@pytest.mark.parametrize("path", ["/stats", "/config_dump", "/clusters", "/server_info", "/ready"])
async def test_the_admin_interface_cannot_be_reached_through_the_gateway(deployed, path):
    answers = [
        await deployed.send("GET", path),
        await deployed.send("POST", "/quitquitquit"),
        await deployed.send("GET", path, headers={"host": deployed.envoy.admin_address}),
    ]

    assert {answer.status for answer in answers} == {400}
    assert {answer.error["code"] for answer in answers} <= {"missing_model", "invalid_json"}


async def test_the_admin_interface_listens_on_this_machine_alone(deployed):
    assert deployed.envoy.admin_address.startswith("127.0.0.1:")


@pytest.mark.parametrize("hops", [0, 1])
async def test_clients_that_share_a_connection_of_a_proxy_do_not_end_each_others_requests(
    tmp_path, variant, hops
):
    """Without proxies, a connection is one client's, and what is malformed ends it."""
    async with (
        trusting(tmp_path, variant, hops) as deployed,
        http2_frames(deployed.gateway) as client,
    ):
        await client.send(head_frames(1, GOOD, ends=False))
        await client.send(head_frames(3, [*GOOD, ("transfer-encoding", "chunked")], ends=False))
        outcomes = []
        if hops:
            outcomes.append(await client.outcome(3))
            await client.send(frame(DATA, END_STREAM, 1, b'{"model": "one"}'))
        outcomes.append(await client.outcome(1))

    assert outcomes == (["stream reset", "passes, cleaned"] if hops else ["connection closed"])
