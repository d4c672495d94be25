"""Names that stand for many, and requests that name no model, in both extraction modes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.support.deployment import Deployment, deployment

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """version: 1
pools:
  a: {endpoints: [<a>], model: org/a, adapters: ["ft:lora"]}
  b: {endpoints: [<b>]}
  c: {endpoints: [<c>]}
models:
  "ft:*": {pool: a}
  "ft:special": {pool: b, aliases: ["модель-*"]}
  "ft:new-*": {pool: c, paths: [/v1/new]}
  other: {pool: c, aliases: ["gpt-4*"]}
default_model: other
extraction: {mode: <mode>}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["ext_proc", "native"])
async def deployed(request, variant, tmp_path_factory) -> AsyncIterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    template = REGISTRY.replace("<mode>", request.param)
    async with deployment(template, ("a", "b", "c"), folder, variant) as running:
        yield running


@pytest.mark.parametrize(
    ("asked", "pool", "base", "seen"),
    [
        ("ft:special", "b", "ft:special", "ft:special"),
        ("ft:lora", "a", "org/a", "ft:lora"),
        ("ft:x", "a", "ft:*", "org/a"),
        ("ft:", "a", "ft:*", "org/a"),
        ("ft:*", "a", "ft:*", "org/a"),
        ("ft:specials", "a", "ft:*", "org/a"),
        ("ft:new", "a", "ft:*", "org/a"),
        ("ft:new-", "c", "ft:new-*", "ft:new-"),
        ("ft:new-%REQ(host)% ü", "c", "ft:new-*", "ft:new-%REQ(host)% ü"),
        ("модель-1", "b", "ft:special", "модель-1"),
        ("gpt-4o", "c", "other", "gpt-4o"),
        ("gpt-4" + "x" * 251, "c", "other", "gpt-4" + "x" * 251),
        ("other", "c", "other", "other"),
    ],
)
async def test_exact_names_win_and_then_the_longest_wildcard(
    deployed: Deployment, asked, pool, base, seen
):
    answer = await deployed.chat(asked)

    assert (answer.status, answer.pool, answer.seen["model"]) == (200, pool, seen)
    told = answer.seen["headers"]
    assert told == {"x-gateway-model-name": asked, "x-gateway-base-model-name": base}


@pytest.mark.parametrize("asked", ["FT:x", "ft", "gpt-3", "мод", "lengths", "=other", "x other"])
async def test_a_name_that_no_wildcard_matches_is_not_found_and_told(deployed: Deployment, asked):
    answer = await deployed.chat(asked)

    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert answer.error["message"] == f"The model `{asked}` does not exist."


async def test_wildcards_are_not_listed(deployed: Deployment):
    answer = await deployed.send("GET", "/v1/models")

    assert [entry["id"] for entry in answer.json["data"]] == ["ft:lora", "ft:special", "other"]


async def test_a_path_of_a_wildcard_selects_it(deployed: Deployment):
    answer = await deployed.post("/v1/new/chat/completions", {"model": "x", "messages": []})

    assert (answer.pool, answer.seen["model"]) == ("c", "x")


async def test_a_client_cannot_ask_for_the_key_of_a_wildcard(deployed: Deployment):
    assert (await deployed.chat(" ft:*")).status == 404


@pytest.mark.parametrize("body", [{}, {"messages": [{"model": "ft:x"}]}, {"Model": "ft:x"}])
async def test_a_body_without_a_model_gets_the_default_and_stays_as_it_is(
    deployed: Deployment, body
):
    answer = await deployed.post("/v1/chat/completions", body)

    assert (answer.status, answer.pool, answer.seen["model"]) == (200, "c", None)
    assert answer.seen["headers"]["x-gateway-model-name"] == "other"
    assert answer.seen["body_bytes"] == len(json.dumps(body))


async def test_a_form_without_a_model_gets_the_default(deployed: Deployment):
    with aiohttp.MultipartWriter("form-data") as form:
        form.append("hello").set_content_disposition("form-data", name="prompt")
    answer = await deployed.send("POST", "/v1/audio/transcriptions", data=form)

    assert (answer.pool, answer.server) == ("c", "c")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"model": ""}', "missing_model"),
        (b'{"model": " "}', "missing_model"),
        (b'{"model": null}', "missing_model"),
        (b'{"model": 7}', "missing_model"),
        (b'{"model": {}}', "missing_model"),
        (b'{"model": "other", "model": "b"}', "ambiguous_model"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"", "missing_model"),
    ],
)
async def test_a_model_that_is_wrong_is_no_missing_one(deployed: Deployment, body, code):
    answer = await deployed.post("/v1/chat/completions", body)

    assert (answer.status, answer.error["code"]) == (400, code)
