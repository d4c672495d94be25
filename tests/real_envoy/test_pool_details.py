"""How a pool picks servers, leaves failing ones alone, follows names, and speaks HTTP/2."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from tests.support.deployment import deployment
from tests.support.dns_server import dns_server
from tests.support.http2_server import http2_server
from tests.support.load import chat_request, continuous_load
from tests.support.recording_server import recording_server

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<a>", "<b>", "<c>"], health_check: false, <more>}
models:
  m: {pool: p, retries: {attempts: 0}}
"""
SERVERS = ("a", "b", "c")
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
EJECTED = "cluster.pool/p.outlier_detection.ejections_active"
EVER_EJECTED = "cluster.pool/p.outlier_detection.ejections_enforced_total"


def registry(more):
    return REGISTRY.replace("<more>", more)


async def ask(deployed, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await deployed.post("/v1/chat/completions", BODY, names)
    assert answer.status == 200
    return answer.server


async def in_flight(deployed, count):
    """Wait until the pool has as many as *count* requests."""
    active = "cluster.pool/p.upstream_rq_active"
    while (await deployed.stats(active))[active] < count:  # noqa: ASYNC110 - Envoy only answers
        await asyncio.sleep(0.005)


async def at_work(deployed, *names):
    """Wait until each of the servers *names* has a request."""
    ports = {int(deployed.servers[name].address.rpartition(":")[2]) for name in names}
    busy = set()
    while not ports <= busy:
        clusters = await deployed.admin("/clusters?format=json")
        [pool] = (c for c in clusters["cluster_statuses"] if c["name"] == "pool/p")
        busy = {
            host["address"]["socket_address"]["port_value"]
            for host in pool["host_statuses"]
            if any(s["name"] == "rq_active" and int(s.get("value", 0)) for s in host["stats"])
        }


async def test_round_robin_takes_servers_in_turn_by_their_weights(variant, tmp_path):
    weighted = registry("load_balancing: round_robin").replace(
        '"<a>"', '{address: "<a>", weight: 2, zone: z1}'
    )
    async with deployment(weighted, SERVERS, tmp_path, variant) as deployed:
        counts = Counter([await ask(deployed) for _ in range(40)])
        clusters = await deployed.admin("/clusters?format=json")
    [pool] = (c for c in clusters["cluster_statuses"] if c["name"] == "pool/p")
    zones = Counter(host.get("locality", {}).get("zone") for host in pool["host_statuses"])

    assert counts == {"a": 20, "b": 10, "c": 10}
    assert zones == {"z1": 1, None: 2}


@pytest.mark.parametrize("policy", ["maglev", "ring_hash"])
@pytest.mark.parametrize("key", ["{header: x-user}", "{cookie: user}"])
async def test_equal_keys_meet_the_same_server_and_others_spread(tmp_path, policy, key):
    async with deployment(
        registry(f"load_balancing: {{policy: {policy}, key: {key}}}"), SERVERS, tmp_path
    ) as deployed:
        users = {u: {await by_user(deployed, u) for _ in range(4)} for u in map(str, range(20))}

    assert {len(servers) for servers in users.values()} == {1}
    assert set.union(*users.values()) == {*SERVERS}


async def by_user(deployed, user):
    return await ask(deployed, x_user=user, cookie=f"user={user}")


async def test_the_address_of_a_client_can_be_the_key(variant, tmp_path):
    policy = "load_balancing: {policy: maglev, key: client_ip}"
    gateway = 'gateways: {default: {listen: "<gateway>", trusted_hops: 1}}\npools:'
    template = registry(policy).replace("pools:", gateway)
    async with deployment(template, SERVERS, tmp_path, variant) as deployed:
        here = {await ask(deployed, x_forwarded_for="198.51.100.1") for _ in range(10)}
        all_over = {await ask(deployed, x_forwarded_for=f"198.51.100.{n}") for n in range(30)}

    assert len(here) == 1
    assert all_over == {*SERVERS}


async def test_an_overloaded_server_passes_requests_of_its_key_on(tmp_path):
    slow = {name: {"latency_s": 2} for name in SERVERS}
    bounded = registry("load_balancing: {policy: maglev, key: {header: x-user}, overload: 125}")
    async with deployment(bounded, slow, tmp_path) as deployed:
        held = []
        for number in range(1, 7):
            held.append(asyncio.ensure_future(ask(deployed, x_user="same")))
            await in_flight(deployed, number)
        served = await asyncio.gather(*held)

    assert len(set(served)) > 1


async def test_least_request_can_compare_all_servers(tmp_path):
    options = {"a": {}, "b": {"latency_s": 4}, "c": {"latency_s": 4}}
    compared = registry("load_balancing: {policy: least_request, choices: 30}")
    async with deployment(compared, options, tmp_path) as deployed:
        held = [asyncio.ensure_future(ask(deployed)) for _ in range(20)]
        await at_work(deployed, "b", "c")
        served = {await ask(deployed) for _ in range(10)}
        await asyncio.gather(*held)

    assert served == {"a"}


async def test_a_server_that_answers_5xx_again_and_again_is_left_alone(variant, tmp_path):
    strict = registry("outlier_detection: {consecutive_5xx: 2, interval: 50ms, eject_for: 1m}")
    strict = strict.replace('["<a>", "<b>", "<c>"]', '["<x>", "<y>"]')
    async with AsyncExitStack() as stack:
        bad = await stack.enter_async_context(recording_server(503))
        good = await stack.enter_async_context(recording_server())
        text = strict.replace("<x>", bad.address).replace("<y>", good.address)
        deployed = await stack.enter_async_context(deployment(text, (), tmp_path, variant))
        statuses = [(await deployed.post("/v1/chat/completions", BODY)).status for _ in range(40)]
        ejected = (await deployed.stats(EJECTED))[EJECTED]
        good.status = 503
        last = {(await deployed.post("/v1/chat/completions", BODY)).status for _ in range(10)}
        still = (await deployed.stats(EJECTED))[EJECTED]

    assert statuses.count(503) == 2
    assert len(bad.seen) == 2
    assert (ejected, still) == (1, 1)  # the last one stays
    assert last == {503}


@pytest.mark.parametrize(
    ("more", "leaves_alone"),
    [("outlier_detection: {consecutive_errors: 2, eject_for: 1m}", True),
     ("outlier_detection: false", False)],
)  # fmt: skip
async def test_a_server_out_of_reach_is_left_alone_unless_that_is_off(tmp_path, more, leaves_alone):
    template = registry(more).replace('"<c>"', '"127.0.0.1:1"')
    async with deployment(template, ("a", "b"), tmp_path) as deployed:
        for _ in range(30):
            await deployed.chat("m")
        ejected = (await deployed.stats(EVER_EJECTED)).get(EVER_EJECTED, 0)

    assert ejected == int(leaves_alone)


async def test_servers_are_spoken_to_in_http2_and_an_edit_to_it_loses_no_request(variant, tmp_path):
    before = 'p: {endpoints: ["<a>"], model: org/m}'
    template = f"version: 1\npools:\n  {before}\nmodels:\n  m: {{pool: p}}\n"
    async with http2_server() as server, deployment(template, ("a",), tmp_path, variant) as d:
        async with continuous_load(str(d.gateway), [chat_request("m")]) as load:
            await load.answered(20)
            after = f'p: {{endpoints: ["{server.address}"], model: org/m, protocol: http2}}'
            await d.edit(d.fill(before), after)
            await load.answered(20)
        answers = await asyncio.gather(*(d.chat("m") for _ in range(20)))

    assert load.report.failures == 0, load.report.summary()
    assert {answer.headers["x-spoken"] for answer in answers} == {"HTTP/2"}
    assert {json.loads(body)["model"] for body in server.bodies} == {"org/m"}
    assert server.health_checks >= 1
    assert server.connections < len(server.bodies)


async def test_requests_follow_a_name_whose_answer_changes(variant, tmp_path):
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(dns_server("127.0.0.1"))
        first = await stack.enter_async_context(recording_server())
        port = int(first.address.rpartition(":")[2])
        second = await stack.enter_async_context(recording_server(host="127.0.0.2", port=port))
        template = (
            f"version: 1\npools:\n  p: {{endpoints: ['models.internal:{port}']}}\n"
            "models:\n  m: {pool: p}\n"
        )
        deployed = await stack.enter_async_context(
            deployment(template, (), tmp_path, variant, envoy_options=resolving_by(names))
        )
        before = (await deployed.chat("m")).status
        at_first = len(second.seen)
        load = continuous_load(str(deployed.gateway), [chat_request("m")], workers=1)
        async with load as running:
            names.addresses = ["127.0.0.1", "127.0.0.2"]
            await has_servers(deployed, 2)
            names.addresses = ["127.0.0.2"]
            await has_servers(deployed, 1)
            first.seen.clear()
            await running.answered(20)
        await deployed.chat("m")

    assert (before, at_first) == (200, 0)
    assert len(second.seen) > 20
    assert len(first.seen) <= 1  # on its way when the answer changed
    assert running.report.failures == 0, running.report.summary()


async def has_servers(deployed, count):
    """Wait until the pool has *count* servers, all of them healthy."""
    pattern = "cluster.pool/p.membership_(total|healthy)"
    async with asyncio.timeout(20):
        while {*(await deployed.stats(pattern)).values()} != {count}:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.02)


def resolving_by(server):
    """Return the options of an Envoy that asks *server* for names."""
    resolver = {
        "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3."
        "CaresDnsResolverConfig",
        "resolvers": [{"socket_address": {"address": server.host, "port_value": server.port}}],
        "dns_resolver_options": {
            "use_tcp_for_dns_lookups": False,
            "no_default_search_domain": True,
        },
    }
    config = {
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": resolver,
        }
    }
    return ("--config-yaml", json.dumps(config))
