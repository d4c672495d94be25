"""A retry on another pool of a split: the body names what that pool expects."""

import asyncio
import hashlib

import pytest

from tests.support.deployment import Deployment, deployment
from xds_server.demo.stack import free_address

pytestmark = pytest.mark.envoy

REGISTRY = """\
version: 1
pools:
  dead: {endpoints: [DEAD], model: org/a-much-longer-name-than-the-other, health_check: false}
  alive: {endpoints: ["<alive>"], model: org/alive, health_check: false}
models:
  m: {split: {dead: 1, alive: 1}, paths: [/v1/split]}
extraction: {mode: native}
"""
DEAD_SERVERS = 12
"""Each is tried a few times before it is taken out."""


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/split/completions"])
@pytest.mark.parametrize("size", [10, 8_000_000])
async def test_the_body_names_what_the_last_pool_expects(tmp_path, path, size):
    dead = ", ".join(f'"{free_address()}"' for _ in range(DEAD_SERVERS))
    before = b'{"prompt":"%b","model":"m"}' % (b"x" * size)
    after = before.replace(b'"m"', b'"org/alive"')
    async with deployment(REGISTRY.replace("DEAD", dead), ("alive",), tmp_path) as deployed:
        async with asyncio.timeout(60):
            while not await moved_to_the_other_pool(deployed):
                answer = await deployed.post(path, before)
                if answer.status == 503:
                    continue  # each of its tries was at a dead server

                assert (answer.status, answer.pool, answer.server) == (200, "alive", "alive")
                assert answer.seen["body_sha256"] == hashlib.sha256(after).hexdigest()


async def moved_to_the_other_pool(deployed: Deployment) -> bool:
    return any((await deployed.stats("pool/alive.upstream_rq_retry_success")).values())
