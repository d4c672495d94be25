"""A stream of tokens passes word by word, and outlives every edit of the registry."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from tests.support.deployment import Deployment, deployment
from tests.support.model_server import Steps

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
gateways: {default: {listen: "<gateway>"}}
pools:
  slow: {endpoints: ["<slow>", "<spare>"], model: target}
  other: {endpoints: ["<other>"]}
models:
  told: {split: {slow: 1, other: 0}, paths: [/v1/told]}
  other: {pool: other}
extraction: {on_failure: native}
"""
BODY = {"model": "told", "prompt": "one two three", "stream": True}
PATHS = ["/v1/chat/completions", "/v1/told/chat/completions"]
SAID = "This is slow answering as target: one two three"
WITHIN_S = 10


class WordSteps(Steps):
    """Holds back words only: health checks and the start of an answer are not waited for."""

    async def __call__(self, seconds: float) -> None:
        if seconds:
            await super().__call__(seconds)


class Stream:
    """An answer whose next word leaves the server when the test asks for it."""

    def __init__(self, response: aiohttp.ClientResponse, steps: Steps) -> None:
        self.response = response
        self._steps = steps

    async def event(self) -> dict[str, Any]:
        """Wait for the next chunk and return it."""
        async with asyncio.timeout(WITHIN_S):
            text = await self.response.content.readuntil(b"\n\n")
        return json.loads(text.removeprefix(b"data: "))

    async def word(self) -> str:
        """Let one word go and wait until it is here."""
        self._steps.release()
        return (await self.event())["choices"][0]["delta"]["content"]

    async def rest(self) -> str:
        """Let everything go and return the words that were missing, once the stream has ended."""
        self._steps.release(100)
        async with asyncio.timeout(WITHIN_S):
            text = (await self.response.content.read()).decode()
        *events, done = text.removesuffix("\n\n").split("\n\n")
        assert done == "data: [DONE]"
        deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events]
        return "".join(delta.get("content", "") for delta in deltas)


def streaming(variant, folder, steps: Steps):
    """Run a deployment whose pool `slow` tells a word per step."""
    servers = {
        "slow": {"pace": steps, "token_latency_s": 1.0},
        "spare": {"healthy": False},
        "other": {},
    }
    return deployment(REGISTRY, servers, folder, variant)


def ask(deployed: Deployment, path: str):
    return deployed.session.post(deployed.url + path, json=BODY)


@pytest.mark.parametrize("path", PATHS)
async def test_each_word_passes_before_the_next_one_is_said(variant, tmp_path, path):
    steps = WordSteps()
    async with (
        streaming(variant, tmp_path, steps) as deployed,
        ask(deployed, path) as response,
    ):
        stream = Stream(response, steps)
        opening = await stream.event()
        words = [await stream.word() for _ in range(4)]
        rest = await stream.rest()

    assert response.status == 200
    assert response.content_type == "text/event-stream"
    assert response.headers["x-gateway-pool"] == "slow"
    assert opening["choices"][0]["delta"]["role"] == "assistant"
    assert words == ["This", " is", " slow", " answering"]
    assert "".join(words) + rest == SAID


async def test_openais_client_reads_a_stream_word_by_word(variant, tmp_path):
    steps = WordSteps()
    async with (
        streaming(variant, tmp_path, steps) as deployed,
        AsyncOpenAI(base_url=f"{deployed.url}/v1", api_key="none", max_retries=0) as client,
    ):
        chunks = await client.chat.completions.create(
            model="told", messages=[{"role": "user", "content": "one two three"}], stream=True
        )
        words = []
        async for chunk in chunks:
            words.append(chunk.choices[0].delta.content or "")
            # The next word leaves only now that the one before it is here.
            steps.release()

    assert "".join(words) == SAID


EDITS = {
    "the weights change": [("slow: 1, other: 0", "slow: 0, other: 1")],
    "its server leaves the pool": [('"<slow>", ', "")],
    "its model goes": [("  told: {split: {slow: 1, other: 0}, paths: [/v1/told]}\n", "")],
    "its path goes": [(", paths: [/v1/told]", "")],
    "its pool goes": [
        ("{split: {slow: 1, other: 0}", "{pool: other"),
        ('  slow: {endpoints: ["<slow>", "<spare>"], model: target}\n', ""),
    ],
    "its pool is renamed": [("slow:", "renamed:")],
    "its pool expects another name": [("model: target", "model: another")],
    "its pool balances otherwise": [("model: target", "load_balancing: round_robin")],
    "its timeout shrinks": [("paths: [/v1/told]", "paths: [/v1/told], timeout: 1ms")],
    "the listener changes": [("on_failure: native", "on_failure: reject, max_body: 1MiB")],
}


@pytest.mark.parametrize("path", PATHS, ids=["body", "path"])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_a_stream_goes_on_to_its_end_when(variant, tmp_path, edit, path):
    steps = WordSteps()
    async with (
        streaming(variant, tmp_path, steps) as deployed,
        ask(deployed, path) as response,
    ):
        stream = Stream(response, steps)
        await stream.event()
        first = await stream.word()
        template = REGISTRY
        for old, new in edit:
            assert old in template
            template = template.replace(old, new)
        await deployed.write(template)
        second = await stream.word()
        rest = await stream.rest()

    assert first + second + rest == SAID


async def test_a_stream_needs_neither_control_plane_nor_companion(variant, tmp_path):
    steps = WordSteps()
    async with (
        streaming(variant, tmp_path, steps) as deployed,
        ask(deployed, PATHS[0]) as response,
    ):
        stream = Stream(response, steps)
        await stream.event()
        first = await stream.word()
        await deployed.control_plane.stop()
        await deployed.companion.stop()
        second = await stream.word()
        rest = await stream.rest()

    assert first + second + rest == SAID
