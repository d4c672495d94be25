"""The same user gets the same pool of a split: in every Envoy, through edits and restarts."""

from __future__ import annotations

from collections import Counter

import pytest

from snapshots.explain import Request, explain
from snapshots.ir.model import Gateway
from snapshots.ir.translate import translate
from snapshots.registry.loader import load_registry
from tests.support.deployment import Deployment, deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  stable: {endpoints: ["<stable>"]}
  candidate: {endpoints: ["<candidate>"]}
  third: {endpoints: ["<stable>"]}
models:
  m: {split: {stable: 60, candidate: 40}, sticky: {header: x-user-id}, aliases: [same]}
  kept: {split: {stable: 50, candidate: 50}, sticky: {cookie: session}}
  other: {pool: stable}
  behind: {split: {stable: 1, candidate: 2}, sticky: {header: x-user-id}, fallback: [third]}
"""
SERVERS = ("stable", "candidate")
CHAT = "/v1/chat/completions"
ODD_USERS = ["", "x", "0", "a b", "Zoë", "模型", "x" * 1000, "user@example.org", "a=b;c=d", '"q"']
USERS = [f"user-{number}" for number in range(100)]


async def pools_of(deployed: Deployment, model: str = "m") -> list[str]:
    """Return the pool of each user."""
    answers = [await deployed.post(CHAT, {"model": model}, {"x-user-id": user}) for user in USERS]
    assert {answer.status for answer in answers} == {200}
    return [answer.pool for answer in answers]


async def test_a_user_stays_in_every_envoy_and_whatever_else_is_edited(tmp_path, variant):
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        async with deployment(REGISTRY, SERVERS, folder, variant, workers=2) as deployed:
            found.append(await pools_of(deployed))
            await deployed.edit("other: {pool: stable}", "other: {pool: candidate}")
            found += [await pools_of(deployed), await pools_of(deployed, "same")]

    assert all(pools == found[0] for pools in found)
    assert set(found[0]) == set(SERVERS)


async def test_a_changed_weight_moves_users_one_way(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        before = await pools_of(deployed)
        await deployed.edit("{stable: 60, candidate: 40}", "{stable: 3, candidate: 7}")
        after = await pools_of(deployed)

    moved = Counter(pair for pair in zip(before, after, strict=True) if len(set(pair)) > 1)
    assert set(moved) == {("stable", "candidate")}
    assert 15 <= moved.total() <= 45  # 30 of 100, by chance


async def test_without_the_header_chance_decides(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        pools = {(await deployed.chat("m")).pool for _ in range(100)}

    assert pools == set(SERVERS)


async def test_a_cookie_keeps_the_pool_as_a_header_does(tmp_path, variant):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        pools = set()
        for user in USERS[:20]:
            cookies = {"cookie": f"theme=dark; session={user}"}
            answers = [await deployed.post(CHAT, {"model": "kept"}, cookies) for _ in range(3)]
            [pool] = {answer.pool for answer in answers}
            pools.add(pool)
        by_chance = {(await deployed.chat("kept")).pool for _ in range(100)}

    assert pools == by_chance == set(SERVERS)


def gateway_of(deployed: Deployment) -> Gateway:
    registry = load_registry(deployed.registry.read_bytes(), "registry.yaml")
    (gateway,) = translate(registry).gateways
    return gateway


@pytest.mark.parametrize("model", ["m", "same", "behind"])
async def test_the_pool_of_a_user_can_be_told_beforehand(tmp_path, model):
    async with deployment(REGISTRY, SERVERS, tmp_path, "delta") as deployed:
        gateway = gateway_of(deployed)
        told, got = [], []
        for user in (*USERS, *ODD_USERS):
            told.append(explain(gateway, Request(model, headers={"x-user-id": user})).user_pool)
            answer = await deployed.post(CHAT, {"model": model}, {"x-user-id": user})
            got.append(answer.pool)

    assert told == got
    assert set(told) == set(SERVERS)


async def test_so_can_that_of_a_cookie(tmp_path):
    async with deployment(REGISTRY, SERVERS, tmp_path, "delta") as deployed:
        gateway = gateway_of(deployed)
        told, got = [], []
        for user in (*USERS[:40], "Zoë", '"quoted"', *(f'"half-{number}' for number in range(8))):
            cookies = {"cookie": f"theme=dark; session={user}"}
            told.append(explain(gateway, Request("kept", headers=cookies)).user_pool)
            got.append((await deployed.post(CHAT, {"model": "kept"}, cookies)).pool)

    assert told == got
