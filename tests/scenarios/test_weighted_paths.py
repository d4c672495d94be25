"""Two sizes of a model: a path for each, and an A/B path at 70/30 whatever the body says.

From the multi-model load balancing demo with Llama-3.2-1B and Llama-3.2-3B.
"""

from collections import Counter
from math import sqrt
from pathlib import Path

import pytest

from tests.support.deployment import deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  llama-1b: {endpoints: ["<llama-1b>"], model: meta-llama/Llama-3.2-1B-Instruct}
  llama-3b: {endpoints: ["<llama-3b>"]}
models:
  llama-3-2-1b: {pool: llama-1b, paths: [/v1/1b]}
  llama-3-2-3b: {pool: llama-3b, paths: [/v1/3b]}
  auto:
    split: {llama-1b: 70, llama-3b: 30}
    paths: [/v1/ab-test]
"""
SERVERS = ("llama-1b", "llama-3b")
REQUESTS = 400


def hello(model: str, text: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("variant", ["delta", "sotw"])
async def test_a_path_selects_its_model_and_an_ab_path_splits(variant, tmp_path: Path):
    async with deployment(REGISTRY, SERVERS, tmp_path, variant) as deployed:
        small = await deployed.post(
            "/v1/1b/chat/completions", hello("llama-3-2-1b", "Hello from 1B model!")
        )
        large = await deployed.post(
            "/v1/3b/chat/completions", hello("llama-3-2-3b", "Hello from 3B model!")
        )
        answers = [
            await deployed.post("/v1/ab-test/chat/completions", hello("auto", f"Test A/B #{i}"))
            for i in range(REQUESTS)
        ]

    assert (small.status, small.server) == (200, "llama-1b")
    assert (large.status, large.server) == (200, "llama-3b")
    assert {small.seen["path"], large.seen["path"]} == {"/v1/chat/completions"}
    assert {answer.status for answer in answers} == {200}
    assert {answer.seen["model"] for answer in answers if answer.server == "llama-1b"} == {
        "meta-llama/Llama-3.2-1B-Instruct"
    }
    share = Counter(answer.server for answer in answers)["llama-1b"] / REQUESTS
    assert abs(share - 0.7) <= max(0.10, 4.5 * sqrt(0.7 * 0.3 / REQUESTS))
