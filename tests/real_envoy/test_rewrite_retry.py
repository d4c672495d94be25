"""A retry on another pool of a split: the body names what that pool expects."""

import asyncio
import hashlib

import pytest

from tests.support.deployment import Deployment, deployment

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  dead: {endpoints: [DEAD], model: org/a-much-longer-name-than-the-other, health_check: false}
  alive: {endpoints: ["<alive>"], NAME, health_check: false}
models:
  m: {split: {dead: 1, alive: 1}, paths: [/v1/split]}
extraction: {mode: native}
"""
DEAD_SERVERS = 12
"""Each is tried a few times before it is taken out."""


@pytest.mark.parametrize("size", [10, 8_000_000])
@pytest.mark.parametrize(
    ("path", "alive", "names"),
    [
        ("", "model: org/alive", (b"m", b"org/alive")),
        ("/split", "model: org/alive", (b"m", b"org/alive")),
        ("", "adapters: [lora]", (b"m", b"m")),  # takes every body as it came
        ("/split", "adapters: [lora]", (b"m", b"m")),
        ("/split", "model: org/alive, adapters: [lora]", (b"lora", b"lora")),  # takes this one so
    ],
)
async def test_the_body_names_what_the_last_pool_expects(tmp_path, size, path, alive, names):
    dead = ", ".join(f'"127.0.0.1:{port}"' for port in range(1, 1 + DEAD_SERVERS))
    before = b'{"prompt":"%b","model":"%b"}' % (b"x" * size, names[0])
    after = before.replace(*(b'"%b"' % name for name in names))
    registry = REGISTRY.replace("DEAD", dead).replace("NAME", alive)
    async with deployment(registry, ("alive",), tmp_path) as deployed:
        async with asyncio.timeout(60):
            while not await moved_to_the_other_pool(deployed):
                answer = await deployed.post(f"/v1{path}/completions", before)
                if answer.status == 503:
                    continue  # each of its tries was at a dead server

                assert (answer.status, answer.pool, answer.server) == (200, "alive", "alive")
                assert answer.seen["body_sha256"] == hashlib.sha256(after).hexdigest()


async def moved_to_the_other_pool(deployed: Deployment) -> bool:
    return any((await deployed.stats("pool/alive.upstream_rq_retry_success")).values())
