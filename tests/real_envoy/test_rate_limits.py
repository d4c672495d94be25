"""What a model or client asks beyond its limit is answered with 429, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.support.deployment import Answer, Deployment, deployment
from tests.support.load import chat_request, continuous_load

pytestmark = pytest.mark.envoy

KEYS = {"slow": "slow-0123456789abcdef", "free": "free-0123456789abcdef"}
ANSWERS_BETWEEN = 40

MODELS = """\
version: 1
pools:
  p: {endpoints: ["<a>"], adapters: [poems]}
  q: {endpoints: ["<b>"]}
models:
  limited:
    pool: p
    aliases: [other, g*]
    paths: [/v1/limited]
    rate_limit: {requests_per_second: 1, burst: 6}
  ft:*: {pool: p, aliases: [tuned], rate_limit: {requests_per_second: 1, burst: 2}}
  quick: {pool: q, rate_limit: {requests_per_second: 1000000}}
  free: {pool: q}
extraction: {mode: <mode>}
"""
CLIENTS = """\
version: 1
pools:
  p: {endpoints: ["<a>"]}
models:
  one: {pool: p, rate_limit: {requests_per_second: 1, burst: 4}}
  two: {pool: p}
auth:
  clients:
    slow: {key_file: keys/slow, models: [two], rate_limit: {requests_per_second: 1, burst: 3}}
    free: {key_file: keys/free}
"""


LIMIT = "rate_limit: {requests_per_second: 1, burst: 6}"
WIDE = "rate_limit: {requests_per_second: 1000000}"
WIDER = "rate_limit: {requests_per_second: 500000, burst: 1000000}"
NO_LIMIT = "timeout: 60s"
WITHOUT = f"""\
version: 1
pools:
  p: {{endpoints: ["<a>"]}}
  q: {{endpoints: ["<b>"]}}
models:
  limited:
    pool: p
    aliases: [other, g*]
    paths: [/v1/limited]
    {NO_LIMIT}
  free: {{pool: q}}
"""


class Clock:
    """How long it took; a bucket gets one token in each second of it."""

    elapsed_s = 0.0

    def may_pass(self, burst: int) -> range:
        """Return how many requests of many pass in that time."""
        return range(burst, burst + int(self.elapsed_s) + 2)


@contextmanager
def measured() -> Iterator[Clock]:
    clock, started = Clock(), monotonic()
    yield clock
    clock.elapsed_s = monotonic() - started


def passed(answers: list[Answer]) -> int:
    """Return how many of *answers* are no refusals; there are no others than of limits."""
    assert {answer.status for answer in answers} <= {200, 429}
    return sum(answer.status == 200 for answer in answers)


async def times(count: int, ask: Callable[[], Awaitable[Answer]]) -> list[Answer]:
    return await asyncio.gather(*(ask() for _ in range(count)))


def with_keys(folder: Path) -> Path:
    (folder / "keys").mkdir()
    for name, key in KEYS.items():
        (folder / "keys" / name).write_text(key)
    return folder


async def ask(deployed: Deployment, client: str, model: str = "two") -> Answer:
    return await deployed.post("/v1/completions", {"model": model}, {"x-api-key": KEYS[client]})


def told(answer: Answer) -> tuple[str, ...]:
    """Return what a server saw: name and model in the headers, path, and name in the body."""
    headers = answer.seen["headers"]
    return (
        headers["x-gateway-model-name"],
        headers["x-gateway-base-model-name"],
        answer.seen["path"],
        answer.seen["model"],
    )


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
async def test_a_burst_passes_and_the_rest_is_refused(variant, tmp_path, mode):
    registry = MODELS.replace("<mode>", mode)
    async with deployment(registry, ("a", "b"), tmp_path, variant, workers=2) as deployed:
        with measured() as clock:
            limited = await times(24, lambda: deployed.chat("limited"))
        others = [await deployed.chat(model) for model in ("free", "quick", "free", "quick")]
    refused = next(answer for answer in limited if answer.status == 429)

    assert passed(limited) in clock.may_pass(6)
    assert passed(others) == len(others)
    assert refused.error == {
        "message": "This model gets more requests than it may. Try again later.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/json"


@pytest.mark.parametrize("mode", ["ext_proc", "native"])
async def test_all_names_and_paths_of_a_model_share_its_limit(variant, tmp_path, mode):
    registry = MODELS.replace("<mode>", mode)
    path = "/v1/limited/completions?a=%2F"
    async with deployment(registry, ("a", "b"), tmp_path, variant) as deployed:
        with measured() as clock:
            ways = [
                await deployed.chat("limited"),
                await deployed.chat("other"),
                await deployed.chat("gpt"),
                await deployed.post(path, {"model": "mine"}),
                await deployed.chat("ft:a"),
                await deployed.chat("tuned"),
            ]
            names = ("limited", "other", "gpt")
            more = [await deployed.chat(name) for name in names for _ in range(6)]
            more += [await deployed.post(path, {}) for _ in range(6)]
            tuned = [await deployed.chat(name) for name in ("ft:b", "tuned", "ft:c", "tuned")]
        adapter = await times(12, lambda: deployed.chat("poems"))

    assert [told(answer) for answer in ways] == [
        ("limited", "limited", "/v1/chat/completions", "limited"),
        ("other", "limited", "/v1/chat/completions", "other"),
        ("gpt", "limited", "/v1/chat/completions", "gpt"),
        ("limited", "limited", "/v1/completions?a=%2F", "mine"),
        ("ft:a", "ft:*", "/v1/chat/completions", "ft:a"),
        ("tuned", "ft:*", "/v1/chat/completions", "tuned"),
    ]
    assert passed(ways[:4] + more) in clock.may_pass(6)
    assert passed(ways[4:] + tuned) in clock.may_pass(2)
    assert passed(adapter) >= 6


async def test_a_client_has_one_limit_for_all_that_it_asks(variant, tmp_path):
    async with deployment(CLIENTS, ("a",), with_keys(tmp_path), variant) as deployed:
        with measured() as clock:
            listed = await deployed.send("GET", "/v1/models", headers={"x-api-key": KEYS["slow"]})
            unknown = await ask(deployed, "slow", "unknown")
            slow = await times(12, lambda: ask(deployed, "slow"))
        strangers = await times(12, lambda: deployed.chat("two"))
        free = await times(12, lambda: ask(deployed, "free"))
    refused = next(answer for answer in slow if answer.status == 429)

    assert (listed.status, unknown.status) == (200, 404)
    assert passed(slow) + 2 in clock.may_pass(3)
    assert refused.error["code"] == "rate_limit_exceeded"
    assert "key" in refused.error["message"]
    assert refused.headers["retry-after"] == "1"
    assert {answer.status for answer in strangers} == {401}
    assert passed(free) == len(free)


async def test_what_a_client_may_not_use_is_not_counted_for_the_model(variant, tmp_path):
    registry = CLIENTS.replace(", rate_limit: {requests_per_second: 1, burst: 3}}", "}")
    async with deployment(registry, ("a",), with_keys(tmp_path), variant) as deployed:
        forbidden = await times(12, lambda: ask(deployed, "slow", "one"))
        with measured() as clock:
            allowed = await times(12, lambda: ask(deployed, "free", "one"))

    assert {answer.status for answer in forbidden} == {403}
    assert passed(allowed) in clock.may_pass(4)


async def test_limits_come_change_and_go_under_load_without_a_loss(variant, tmp_path):
    async with deployment(WITHOUT, ("a", "b"), tmp_path, variant, workers=2) as deployed:
        requests = [chat_request(model) for model in ("limited", "other", "gpt", "free")]
        requests.append(chat_request("x", path="/v1/limited/chat/completions"))
        async with continuous_load(str(deployed.gateway), requests, workers=4) as load:
            for old, new in (
                (NO_LIMIT, WIDE),
                (WIDE, WIDER),
                (WIDER, NO_LIMIT),
            ):
                await load.answered(ANSWERS_BETWEEN)
                await deployed.edit(old, new)
            await load.answered(ANSWERS_BETWEEN)

    assert load.report.failures == 0, load.report.summary()


async def test_names_leave_a_model_with_a_limit_without_a_loss(variant, tmp_path):
    limited = WITHOUT.replace(NO_LIMIT, WIDE)
    start = limited.index("  limited:")
    moved = limited[:start] + "  free: {pool: q, aliases: [other, g*], paths: [/v1/limited]}\n"
    async with deployment(limited, ("a", "b"), tmp_path, variant, workers=2) as deployed:
        requests = [chat_request(model) for model in ("other", "gpt")]
        requests.append(chat_request("x", path="/v1/limited/chat/completions"))
        async with continuous_load(str(deployed.gateway), requests, workers=4) as load:
            for template in (moved, limited) * 3:
                await load.answered(ANSWERS_BETWEEN)
                await deployed.write(template)
            await load.answered(ANSWERS_BETWEEN)

    assert load.report.failures == 0, load.report.summary()


async def test_an_edited_limit_holds_at_once(variant, tmp_path):
    other_limit = WITHOUT.replace("free: {pool: q", "free: {pool: q, " + WIDE)
    async with deployment(other_limit, ("a", "b"), tmp_path, variant) as deployed:
        without = await times(24, lambda: deployed.chat("limited"))
        await deployed.edit(NO_LIMIT, LIMIT)
        with measured() as clock:
            narrow = await times(24, lambda: deployed.chat("limited"))
        await deployed.edit("burst: 6", "burst: 12")
        with measured() as second_clock:
            wider = await times(24, lambda: deployed.chat("limited"))
        await deployed.edit(LIMIT.replace("6", "12"), NO_LIMIT)
        again_without = await times(24, lambda: deployed.chat("limited"))

    assert passed(without) == passed(again_without) == 24
    assert passed(narrow) in clock.may_pass(6)
    assert passed(wider) in second_clock.may_pass(12)


async def test_the_first_limit_holds_for_new_connections(variant, tmp_path):
    async with deployment(WITHOUT, ("a", "b"), tmp_path, variant) as deployed:
        await deployed.edit(NO_LIMIT, LIMIT)
        with measured() as clock:
            answers = await times(24, lambda: deployed.chat("limited"))

    assert passed(answers) in clock.may_pass(6)
