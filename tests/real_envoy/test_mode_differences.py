"""Each row of the table of differences is so, and what it says is all that differs."""

import re

import pytest
import pytest_asyncio

from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import http1_client, whole
from tests.support.mode_differences import BEYOND, DEEP, DIFFERENCES, PLACES
from tests.support.modes import both_modes

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

REGISTRY = """\
version: 1
pools:
  p: {endpoints: ["<echo>"]}
models:
  m: {pool: p}
extraction: {mode: <mode>, on_failure: reject, max_body: 100MiB}
"""
PLACE_BY_LINE = re.compile(r"line \d+ column \d+")
PLACE_BY_BYTE = re.compile(r"byte \d+")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory):
    async with both_modes(REGISTRY, tmp_path_factory.mktemp("deployment")) as deployments:
        yield deployments


async def told(running: dict[str, Deployment], body: bytes) -> tuple[Answer, Answer]:
    """Return the answers to *body* of the companion and of the native filter."""
    answers = []
    for mode in ("ext_proc", "native"):
        async with http1_client(running[mode].gateway) as client:
            client.write(whole(body))
            answers.append(await client.answer())
    return answers[0], answers[1]


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """Return a body of *levels* levels, the outermost object included."""
    inner = opening * (levels - 1) + (b"1" if closing == b"}" else b"") + closing * (levels - 1)
    return b'{"x": %b, "model": "m"}' % inner


async def test_each_row_is_tested_here():
    assert set(DIFFERENCES) == {DEEP, PLACES, BEYOND}


@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
@pytest.mark.parametrize(
    ("levels", "by_companion", "natively"),
    [(500, 200, 200), (501, 200, 400), (900, 200, 400), (100_000, 400, 400)],
)
async def test_deep_json(running, brackets, levels, by_companion, natively):
    answers = await told(running, nested(levels, *brackets))

    assert tuple(answer.status for answer in answers) == (by_companion, natively)
    refused = [answer.error["code"] for answer in answers if answer.status != 200]
    assert set(refused) <= {"invalid_json"}


@pytest.mark.parametrize("body", [b'{\n"model": m}', b'{"model": "m",}', b"x"])
async def test_places_in_messages(running, body):
    by_companion, natively = (answer.error["message"] for answer in await told(running, body))

    assert PLACE_BY_LINE.search(by_companion)
    assert PLACE_BY_BYTE.search(natively)


async def test_bodies_beyond_what_the_companion_takes(running):
    body = b'{"model": "m", "prompt": "%b"}' % (b"x" * 65 * 1024 * 1024)
    by_companion, natively = await told(running, body)

    assert (by_companion.status, by_companion.error["code"]) == (503, "extraction_unavailable")
    assert (natively.status, natively.seen["body_bytes"]) == (200, len(body))
