"""HTTP/1.1 as clients write it, however a network cuts it: the same in both modes."""

import asyncio

import pytest

from snapshots.resources.companion import MESSAGE_TIMEOUT_S
from tests.support.deployment import Answer, Deployment
from tests.support.http1_client import chunked, cut, head, http1_client, whole
from tests.support.modes import each_mode
from tests.support.two_pools import PATHS, arrived, refusal, two_pools

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

JSON = "content-type: application/json"
CHUNKED = (JSON, "transfer-encoding: chunked")
BODY = b'{"prompt": "x", "model": "m"}'
RENAMED = b'{"prompt": "x", "model": "org/target"}'

deployed = each_mode(two_pools("100000"))


@pytest.mark.parametrize("path", PATHS)
async def test_a_chunked_upload_may_be_cut_anywhere(deployed: Deployment, path):
    """Within heads, chunk sizes, extensions and trailers too."""
    body = chunked(cut(BODY, 11), extension=';note="a b"', trailers=b"x-check: 1\r\n")
    wire = head(path=path, headers=CHUNKED) + body
    first_cut = len(wire) - len(body) - 4
    async with http1_client(deployed.gateway) as client:
        for place in range(first_cut, len(wire)):
            await client.send_pieces([wire[:place], wire[place:]])

            assert arrived(await client.answer(), RENAMED), wire[:place]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "length"])
async def test_a_request_may_come_byte_by_byte(deployed: Deployment, path, is_chunked):
    wire = (
        head(path=path, headers=CHUNKED) + chunked(cut(BODY, 5))
        if is_chunked
        else whole(BODY, path=path)
    )
    async with http1_client(deployed.gateway) as client:
        await client.send_pieces(cut(wire, 1))

        assert arrived(await client.answer(), RENAMED)


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_asks_first_is_told_to_go_on_before_it_sends(
    deployed: Deployment, path
):
    expecting = (JSON, "expect: 100-continue")
    async with http1_client(deployed.gateway) as client:
        await client.send(head(path=path, length=len(BODY), headers=expecting))
        interim, _ = await client.head()
        await client.send(BODY)

        assert interim == 100
        assert arrived(await client.answer(), RENAMED)


@pytest.mark.parametrize("path", PATHS)
async def test_a_client_that_asks_first_is_refused_without_its_body(deployed: Deployment, path):
    """Envoy tells it to go on before anything else is decided, but waits for nothing."""
    expecting = (JSON, "expect: 100-continue")
    async with http1_client(deployed.gateway) as client:
        await client.send(head(path=path, length=100_001, headers=expecting))

        assert refusal(await client.answer()) == (413, "request_too_large")


async def test_requests_sent_at_once_are_answered_in_their_order(deployed: Deployment):
    async with http1_client(deployed.gateway) as client:
        await client.send(
            whole(BODY)
            + whole(b'{"model": "same"}')
            + head(headers=CHUNKED)
            + chunked(cut(BODY, 3))
            + whole(b"any bytes", path="/v1/same/x")
            + whole(BODY, path="/v1/renamed/x")
        )
        answers = [await client.answer() for _ in range(5)]

    assert [answer.pool for answer in answers] == ["renamed", "same", "renamed", "same", "renamed"]
    assert arrived(answers[2], RENAMED)
    assert arrived(answers[3], b"any bytes")


@pytest.mark.parametrize("size", [1, 16_384])
async def test_a_body_of_very_many_chunks_arrives_whole(deployed: Deployment, size):
    body = b'{"prompt": "%b", "model": "m"}' % (b"x" * 90_000)
    async with http1_client(deployed.gateway) as client:
        await client.send(head(headers=CHUNKED) + chunked(cut(body, size)))
        answer = await client.answer()

    assert arrived(answer, body.replace(b'"m"', b'"org/target"'))


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_other_methods_with_a_body_are_routed_too(deployed: Deployment, method):
    async with http1_client(deployed.gateway) as client:
        await client.send(whole(BODY, method))
        answer = await client.answer()

    assert arrived(answer, RENAMED)
    assert answer.seen["method"] == method


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("body", [b"", BODY], ids=["without", "with"])
async def test_a_method_that_has_no_body_goes_by_its_path_alone(deployed: Deployment, method, body):
    headers = (JSON,) if body else ()
    length = len(body) or None
    async with http1_client(deployed.gateway) as client:
        await client.send(head(method, "/v1/things/1", length=length, headers=headers) + body)
        refused = await client.answer(method)
    async with http1_client(deployed.gateway) as client:
        await client.send(head(method, "/v1/same/things/1", length=length, headers=headers) + body)
        routed = await client.answer(method)

    assert (refused.status, refused.server) == (400, None)
    assert (routed.status, routed.pool) == (200, "same")
    if method != "HEAD":
        assert refused.error["code"] == "missing_model"
        assert (routed.seen["method"], routed.seen["path"]) == (method, "/v1/things/1")
        assert arrived(routed, body)


async def test_the_list_of_models_has_a_head(deployed: Deployment):
    async with http1_client(deployed.gateway) as client:
        await client.send(head("HEAD", "/v1/models", headers=()))
        answer = await client.answer("HEAD")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(("content-length: 0",), id="length 0"),
        pytest.param((), id="no length"),
        pytest.param(("transfer-encoding: chunked",), id="no chunks"),
    ],
)
async def test_an_upload_without_a_body_names_no_model(deployed: Deployment, method, wire):
    end = chunked([]) if "transfer-encoding: chunked" in wire else b""
    async with http1_client(deployed.gateway) as client:
        await client.send(head(method, headers=(JSON, *wire)) + end)
        refused = await client.answer()
    async with http1_client(deployed.gateway) as client:
        await client.send(head(method, "/v1/same/x", headers=(JSON, *wire)) + end)
        routed = await client.answer()

    assert refusal(refused) == (400, "missing_model")
    assert arrived(routed, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_a_chunked_body_is_bounded_too(deployed: Deployment, path):
    """To a few hundred bytes: Envoy leaves room for a longer name."""
    frame = len(b'{"prompt":"","model":"m"}')
    fits, above = (
        b'{"prompt":"%b","model":"m"}' % (b"x" * (size - frame)) for size in (100_000, 102_000)
    )
    answers = []
    for body in (fits, above):
        async with http1_client(deployed.gateway) as client:
            await client.send(head(path=path, headers=CHUNKED) + chunked(cut(body, 9_999)))
            answers.append(await client.answer())

    assert answers[0].status == 200
    assert refusal(answers[1]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "wire",
    [
        head(headers=(*CHUNKED, "content-length: 5")) + chunked([BODY]),
        head(headers=(JSON, "content-length: 29", "content-length: 30")) + BODY,
        head(headers=(JSON, "content-length: -1")) + BODY,
        head(headers=CHUNKED) + b"zz\r\n" + BODY,
        head(headers=CHUNKED) + b"fffffffffffffffff\r\n" + BODY,
        b"POST / HTTP/1.1\r\n\r\n" + BODY,
    ],
    ids=["two lengths", "lengths differ", "negative", "no size", "huge", "no host"],
)
async def test_a_body_whose_end_is_in_doubt_is_refused(deployed: Deployment, wire):
    """Two servers that see different ends see different requests."""
    async with http1_client(deployed.gateway) as client:
        await client.send(wire)
        status, _ = await client.head()

    assert status == 400


async def test_an_upload_may_take_longer_than_the_companion_may_for_its_answer(
    deployed: Deployment,
):
    before = await deployed.stats("ext_proc.failure_mode_allowed")
    async with http1_client(deployed.gateway) as client:
        await client.send(head(length=len(BODY)) + BODY[:5])
        await asyncio.sleep(MESSAGE_TIMEOUT_S * 1.2)  # the client that this is about
        await client.send(BODY[5:])

        assert arrived(await client.answer(), RENAMED)

    assert await deployed.stats("ext_proc.failure_mode_allowed") == before


async def test_many_clients_that_send_slowly_do_not_wait_for_each_other(deployed: Deployment):
    async def slow(name: bytes) -> Answer:
        async with http1_client(deployed.gateway) as client:
            await client.send_pieces(cut(whole(b'{"model": "%b"}' % name), 2))
            return await client.answer()

    async with asyncio.TaskGroup() as clients:
        tasks = [clients.create_task(slow((b"m", b"same")[i % 2])) for i in range(40)]

    assert [task.result().pool for task in tasks] == ["renamed", "same"] * 20
