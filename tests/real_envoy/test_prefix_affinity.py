"""Prompts that begin alike meet the same server, as long as it has not too much to do."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.deployment import Deployment, deployment
from tests.support.load import chat_request, continuous_load

pytestmark = pytest.mark.envoy

AFFINE = "load_balancing: {policy: <policy>, key: prompt_prefix, bytes: 512}"
REGISTRY = f"""version: 1
pools:
  pool:
    endpoints: ["<a>", "<b>", "<c>", "<d>"]
    {AFFINE}
  other: {{endpoints: ["<a>", "<b>"]}}
models:
  affine: {{pool: pool, paths: [/v1/affine]}}
  split: {{split: {{pool: 1, other: 0}}}}
  sticky: {{split: {{pool: 1, other: 1}}, sticky: {{header: x-user-id}}}}
"""
SERVERS = ("a", "b", "c", "d")
SLOW = {name: {"latency_s": 0.04 + 0.03 * n} for n, name in enumerate(SERVERS)}
HEADER = "x-gateway-prompt-prefix"


def registry(policy: str = "maglev") -> str:
    return REGISTRY.replace("<policy>", policy)


async def who(deployed: Deployment, text: str, model: str = "affine") -> str:
    answer = await deployed.chat(model, text)
    assert answer.status == 200
    return str(answer.server)


@pytest.mark.parametrize("policy", ["maglev", "ring_hash"])
async def test_equal_fronts_meet_the_same_server_and_others_spread(variant, tmp_path, policy):
    async with deployment(registry(policy), SERVERS, tmp_path, variant) as deployed:
        first = {text: await who(deployed, text) for text in map(str, range(40))}

        assert len(set(first.values())) == 4
        for text, server in first.items():
            assert await who(deployed, text, "split") == server
            body = b'{ "messages":[{"content":"%b","role":"user"}],"model":"affine"}'
            answer = await deployed.post("/v1/chat/completions", body % text.encode())
            assert answer.server == server


async def test_the_prompt_chooses_the_server_in_the_pool_to_which_its_user_sticks(tmp_path):
    async with deployment(registry(), SERVERS, tmp_path) as deployed:
        body = {"model": "sticky", "messages": [{"role": "user", "content": "x"}]}
        seen = [
            (user, await deployed.post("/v1/chat/completions", body, {"x-user-id": str(user)}))
            for user in (*range(20), *range(20))
        ]

    assert len({(user, answer.pool) for user, answer in seen}) == 20
    assert {answer.pool for _, answer in seen} == {"pool", "other"}
    assert len({answer.server for _, answer in seen if answer.pool == "pool"}) == 1


async def test_servers_see_the_hash_and_no_client_can_set_it(variant, tmp_path):
    async with deployment(registry(), SERVERS, tmp_path, variant) as deployed:
        body = {"model": "affine", "messages": [{"role": "user", "content": "x"}]}
        answers = [
            await deployed.post("/v1/chat/completions", body, {HEADER: f"forged-{n}"})
            for n in range(8)
        ]
        by_path = await deployed.post("/v1/affine/chat/completions", body, {HEADER: "forged"})

    assert len({answer.server for answer in answers}) == 1
    assert len({answer.seen["headers"][HEADER] for answer in answers}) == 1
    assert by_path.status == 200
    assert HEADER not in by_path.seen["headers"]


async def test_a_server_with_too_much_to_do_passes_on(tmp_path):
    async with deployment(registry(), SLOW, tmp_path) as deployed:
        alone = {await who(deployed, "hot") for _ in range(3)}
        # Envoy counts a request once it has a connection: those of the same instant do not see
        # each other.
        await asyncio.gather(*(who(deployed, "hot") for _ in range(16)))
        served: Counter[str] = Counter()
        async with asyncio.TaskGroup() as clients:
            for _ in range(16):
                clients.create_task(several(deployed, served))

    assert len(alone) == 1
    assert len(served) >= 2, served
    assert max(served.values()) < 0.75 * served.total(), served


async def several(deployed: Deployment, served: Counter[str]) -> None:
    for _ in range(6):
        served[await who(deployed, "hot")] += 1


async def test_prompts_of_a_dead_server_go_elsewhere_and_others_stay(tmp_path):
    async with deployment(registry(), SERVERS, tmp_path) as deployed:
        first = {text: await who(deployed, text) for text in map(str, range(40))}
        await deployed.remove_server("a")
        then = {text: await who(deployed, text) for text in first}

    stayed = [text for text in first if first[text] != "a" and then[text] == first[text]]
    assert "a" not in then.values()
    assert len(stayed) >= 0.8 * sum(server != "a" for server in first.values())


async def test_a_gateway_without_such_a_pool_hashes_nothing(tmp_path):
    async with deployment(registry().replace("key: prompt_prefix, bytes: 512", ""), SERVERS,
                          tmp_path) as deployed:  # fmt: skip
        answer = await deployed.chat("affine")

    assert HEADER not in answer.seen["headers"]


async def test_a_pool_without_servers_says_so(tmp_path):
    async with deployment(registry(), SERVERS, tmp_path) as deployed:
        await deployed.stop_servers()
        answer = await deployed.chat("affine")
        for _ in range(20):
            answer = await deployed.chat("affine")

    assert (answer.status, answer.error["code"]) == (503, "no_healthy_upstream")


async def test_edits_of_the_key_lose_no_request(variant, tmp_path):
    plain = registry().replace(AFFINE.replace("<policy>", "maglev"), "load_balancing: random")
    async with deployment(plain, SERVERS, tmp_path, variant, workers=2) as deployed:
        request = chat_request("affine")
        async with continuous_load(str(deployed.gateway), [request], workers=4) as load:
            for template in (
                registry(),
                registry("ring_hash"),
                registry().replace("512", "1KiB"),
                plain,
            ):
                await load.answered(20)
                await deployed.write(template)
                await load.answered(20)

    assert load.report.failures == 0, load.report.summary()
