"""Bodies in gzip, and in what is not taken: everything behind the gateway sees plain bodies."""

import gzip
import random
import zlib

import pytest

from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import chunked, cut, head, http1_client, whole
from tests.support.http2_client import http2_client
from tests.support.modes import each_mode
from tests.support.two_pools import PATHS, arrived, refusal, two_pools

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MAX_BODY_BYTES = 3_000_000
JSON = "content-type: application/json"
BODY = b'{"prompt": "gr\xc3\xbc\xc3\x9fe", "model": "m"}'
RENAMED = BODY.replace(b'"m"', b'"org/target"')
NOISE = random.Random(5).randbytes(600_000).hex().encode()

deployed = each_mode(two_pools(str(MAX_BODY_BYTES)))


async def sent(
    deployed: Deployment, body: bytes, *encodings: str, path: str = "/v1/completions"
) -> Answer:
    headers = (JSON, *(f"content-encoding: {encoding}" for encoding in encodings))
    async with http1_client(deployed.gateway) as client:
        await client.send(whole(body, path=path, headers=headers))
        return await client.answer()


def arrived_plain(answer: Answer, body: bytes) -> bool:
    """Tell whether the server saw *body*, and no sign that it was ever encoded."""
    assert "content-encoding" not in answer.seen["headers"]
    return arrived(answer, body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "Gzip"])
@pytest.mark.parametrize("level", [0, 9])
async def test_a_body_in_gzip_arrives_plain_and_renamed(
    deployed: Deployment, path, encoding, level
):
    answer = await sent(deployed, gzip.compress(BODY, level), encoding, path=path)

    assert arrived_plain(answer, RENAMED)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_a_pool_that_renames_nothing_sees_the_plain_body(deployed: Deployment, path):
    body = b'{"model": "same", "prompt": "%b"}' % NOISE
    answer = await sent(deployed, gzip.compress(body), "gzip", path=path)

    assert arrived_plain(answer, body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [1, 7, 4096])
async def test_gzip_may_be_cut_anywhere(deployed: Deployment, path, size):
    """In chunks, and in frames of HTTP/2."""
    text = NOISE[: 30 * size]
    body = b'{"prompt": "%b", "model": "m"}' % text
    packed = gzip.compress(body)
    wanted = body.replace(b'"m"', b'"org/target"')
    headers = (JSON, "content-encoding: gzip", "transfer-encoding: chunked")
    async with http1_client(deployed.gateway) as client:
        await client.send(head(path=path, headers=headers) + chunked(cut(packed, size)))
        first = await client.answer()
    async with http2_client(deployed.gateway) as client:
        encoded = (("content-type", "application/json"), ("content-encoding", "gzip"))
        second = await client.ask(cut(packed, size), path=path, headers=encoded)

    assert arrived_plain(first, wanted)
    assert arrived_plain(second, wanted)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_is_told_to_be_plain_is(deployed: Deployment, path):
    answer = await sent(deployed, BODY, "identity", path=path)

    assert arrived(answer, RENAMED)


@pytest.mark.parametrize(
    "encodings",
    [
        ("br",),
        ("zstd",),
        ("deflate",),
        ("compress",),
        ("aes128gcm",),
        ("gzip, gzip",),
        ("gzip", "gzip"),
        ("gzip", "br"),
        ("br, gzip",),
        ("gzip;q=1",),
        ("*",),
    ],
    ids=" + ".join,
)
@pytest.mark.parametrize("path", PATHS)
async def test_what_cannot_be_read_is_refused_before_it_is_read(
    deployed: Deployment, path, encodings
):
    answer = await sent(deployed, zlib.compress(BODY), *encodings, path=path)

    assert refusal(answer) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/same/models"])
async def test_a_get_may_say_what_it_likes_of_the_body_it_has_not(deployed: Deployment, path):
    answer = await deployed.send("GET", path, headers={"content-encoding": "gzip"})

    assert answer.status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("plain_bytes", [MAX_BODY_BYTES + 100_000, 200_000_000])
async def test_what_is_too_large_once_it_is_plain_is_refused(
    deployed: Deployment, path, plain_bytes
):
    """A bomb too: Envoy stops reading, and so does not hold what it would become."""
    packer = zlib.compressobj(9, wbits=31)
    spaces = b" " * 1_000_000
    packed = b"".join(packer.compress(spaces) for _ in range(plain_bytes // len(spaces)))
    packed += packer.compress(b" " * (plain_bytes % len(spaces)) + BODY) + packer.flush()
    answer = await sent(deployed, packed, "gzip", path=path)

    assert refusal(answer) == (413, "request_too_large")


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_just_below_the_limit_once_it_is_plain_passes(deployed: Deployment, path):
    body = b" " * (MAX_BODY_BYTES - len(BODY)) + BODY
    answer = await sent(deployed, gzip.compress(body), "gzip", path=path)

    assert arrived_plain(answer, body.replace(b'"m"', b'"org/target"'))


PACKED = gzip.compress(BODY)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(PACKED[:-1], id="last byte missing"),
        pytest.param(PACKED[:-12], id="end missing"),
        pytest.param(PACKED[:12], id="cut early"),
        pytest.param(PACKED[:5], id="cut in its header"),
        pytest.param(b"", id="empty"),
        pytest.param(BODY, id="plain"),
        pytest.param(b"\x1f\x8b" + bytes(40), id="no method"),
        pytest.param(PACKED[:20] + bytes(8) + PACKED[28:], id="overwritten"),
        pytest.param(PACKED[:-8] + bytes(4) + PACKED[-4:], id="wrong checksum"),
        pytest.param(PACKED + b"rest", id="rest behind it"),
        pytest.param(zlib.compress(BODY), id="zlib"),
    ],
)
async def test_gzip_that_is_broken_never_reaches_a_server_as_another_request(
    deployed: Deployment, packed
):
    """It is refused, or read where everything that matters is there."""
    answer = await sent(deployed, packed, "gzip")

    if answer.status == 200:
        assert arrived_plain(answer, RENAMED)
    else:
        assert refusal(answer) in ((400, "invalid_json"), (400, "missing_model"))


async def test_gzip_that_is_broken_reaches_a_path_as_far_as_it_can_be_read(deployed: Deployment):
    """Nothing reads it on the way; a JSON or a form that is cut is refused by the server."""
    body = b'{"model": "same", "prompt": "%b"}' % NOISE
    answer = await sent(deployed, gzip.compress(body)[:500_000], "gzip", path="/v1/same/x")

    assert answer.status == 200
    assert 0 < answer.seen["body_bytes"] < len(body)


async def test_several_members_are_one_body_or_none(deployed: Deployment):
    answer = await sent(deployed, gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]), "gzip")

    assert (answer.status == 200 and arrived_plain(answer, RENAMED)) or refusal(answer) == (
        400,
        "invalid_json",
    )


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("control", ["no-transform", "no-cache, no-transform"])
async def test_a_wish_not_to_be_transformed_is_for_what_is_sent_on(
    deployed: Deployment, path, control
):
    headers = {"content-encoding": "gzip", "cache-control": control}
    answer = await deployed.post(path, PACKED, headers)

    assert arrived_plain(answer, RENAMED)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_nothing_tells_the_server_that_there_was_gzip(deployed: Deployment, path):
    body, accepted = b'{"model": "same"}', {"accept-encoding": "br, gzip;q=0.5"}
    plain = await deployed.post(path, body, accepted)
    zipped = await deployed.post(
        path, gzip.compress(body), {"content-encoding": "gzip", **accepted}
    )

    assert told(zipped.seen["headers"]) == told(plain.seen["headers"])
    assert plain.seen["headers"]["accept-encoding"] == accepted["accept-encoding"]
    assert arrived_plain(zipped, body)


def told(headers: dict[str, str]) -> dict[str, str]:
    """Return *headers* without those of the single request, and of its framing."""
    own = {"content-length", "transfer-encoding", "x-request-id"}
    return {name: value for name, value in headers.items() if name not in own}


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/same/completions"])
async def test_however_well_a_body_was_packed_all_of_it_arrives(deployed: Deployment, path):
    """What cannot be packed beside what can be packed to a thousandth."""
    body = b'{"a": "%b", "b": "%b", "model": "same"}' % (NOISE, b"x" * 1_700_000)
    answer = await sent(deployed, gzip.compress(body, 9), "gzip", path=path)

    assert arrived_plain(answer, body)


async def test_a_form_in_gzip_is_read_too(deployed: Deployment):
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nsame\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x", "content-encoding": "gzip"}
    answer = await deployed.post("/v1/audio/transcriptions", gzip.compress(form), headers)

    assert arrived_plain(answer, form)
