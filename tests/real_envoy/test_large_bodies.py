"""Bodies up to the default `max_body` of 16 MiB: renamed, unchanged otherwise, and no larger."""

import pytest

from snapshots.resources.parts import RENAMING_BYTES
from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import chunked, cut, head, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.modes import each_mode
from tests.support.two_pools import PATHS, arrived, refusal, two_pools

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MIB = 1024 * 1024
MAX_BODY_BYTES = 16 * MIB
CHUNKED = ("content-type: application/json", "transfer-encoding: chunked")

deployed = each_mode(two_pools())


def body_of(size: int, name: bytes = b"m", *, last: bool = True) -> bytes:
    """Return a body of *size* bytes with the model before or behind an image."""
    model = b'"model":"%b"' % name
    image = b'"image":"data:image/png;base64,%b"' % (b"iVBORw0KGgo" * (size // 11 + 1))
    cut_off = len(image) + len(model) + 3 - size
    image = image[: -cut_off - 1] + b'"'
    return b"{%b,%b}" % ((image, model) if last else (model, image))


def renamed(body: bytes) -> bytes:
    return body.replace(b'"model":"m"', b'"model":"org/target"')


async def by_length(deployed: Deployment, body: bytes, path: str) -> Answer:
    async with http1_client(deployed.gateway) as client:
        client.write(whole(body, path=path))
        return await client.answer()


async def by_chunks(deployed: Deployment, body: bytes, path: str) -> Answer:
    async with http1_client(deployed.gateway) as client:
        client.write(head(path=path, headers=CHUNKED) + chunked(cut(body, 65_521)))
        return await client.answer()


async def by_frames(deployed: Deployment, body: bytes, path: str) -> Answer:
    async with http2_client(deployed.gateway) as client:
        return await client.ask(cut(body, 65_521), path=path)


@pytest.mark.parametrize("send", [by_length, by_chunks, by_frames])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("last", [True, False], ids=["model last", "model first"])
async def test_an_image_of_15_mb_arrives(deployed: Deployment, send, path, last):
    body = body_of(15_000_000, last=last)
    answer = await send(deployed, body, path)

    assert arrived(answer, renamed(body))


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_a_body_of_8_mb_arrives_unchanged(deployed: Deployment, path):
    body = body_of(8 * MIB, b"same")
    answer = await by_frames(deployed, body, path)

    assert arrived(answer, renamed(body))


@pytest.mark.parametrize("send", [by_length, by_chunks, by_frames])
@pytest.mark.parametrize("path", PATHS)
async def test_a_body_may_be_as_large_as_the_limit(deployed: Deployment, send, path):
    body = body_of(MAX_BODY_BYTES)
    answer = await send(deployed, body, path)

    assert arrived(answer, renamed(body))


@pytest.mark.parametrize(
    ("send", "above"),
    [(by_length, 1), (by_chunks, RENAMING_BYTES + 1), (by_frames, RENAMING_BYTES + 1)],
)
@pytest.mark.parametrize("path", PATHS)
async def test_a_body_above_the_limit_is_refused(deployed: Deployment, send, path, above):
    """Where it does not tell its length, Envoy leaves room for a longer name."""
    answer = await send(deployed, body_of(MAX_BODY_BYTES + above), path)

    assert refusal(answer) == (413, "request_too_large")
