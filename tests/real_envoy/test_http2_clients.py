"""HTTP/2 without TLS, with frames cut as no library would cut them: the same in both modes."""

import pytest

from tests.support.deployment import Deployment
from tests.support.http1_client import cut
from tests.support.http2_client import http2_client
from tests.support.modes import each_mode
from tests.support.two_pools import PATHS, arrived, refusal, two_pools

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

JSON = ("content-type", "application/json")
BODY = b'{"prompt": "x", "model": "m"}'
RENAMED = b'{"prompt": "x", "model": "org/target"}'

deployed = each_mode(two_pools("100000"))


@pytest.mark.parametrize("path", PATHS)
async def test_data_may_be_cut_anywhere(deployed: Deployment, path):
    async with http2_client(deployed.gateway) as client:
        for place in range(len(BODY) + 1):
            answer = await client.ask([BODY[:place], BODY[place:]], path=path)

            assert arrived(answer, RENAMED), place


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "pieces",
    [[*cut(BODY, 1)], [BODY, b""], [b"", BODY], [b"", *cut(BODY, 7), b""]],
    ids=["bytes", "empty end", "empty start", "empty frames"],
)
@pytest.mark.parametrize("trailers", [(), (("x-check", "1"),)], ids=["", "trailers"])
async def test_a_body_ends_with_an_empty_frame_or_with_trailers(
    deployed: Deployment, path, pieces, trailers
):
    async with http2_client(deployed.gateway) as client:
        answer = await client.ask(pieces, path=path, trailers=trailers)

    assert arrived(answer, RENAMED)


@pytest.mark.parametrize("length", [True, False], ids=["length", "no length"])
async def test_a_body_larger_than_every_window_arrives_whole(deployed: Deployment, length):
    body = b'{"prompt": "%b", "model": "m"}' % (b"x" * 90_000)
    headers = (JSON, ("content-length", str(len(body)))) if length else (JSON,)
    async with http2_client(deployed.gateway) as client:
        answer = await client.ask(cut(body, 999), headers=headers)

    assert arrived(answer, body.replace(b'"m"', b'"org/target"'))


async def test_streams_that_send_in_turns_do_not_mix(deployed: Deployment):
    names = ["m", "same"] * 10
    bodies = [b'{"model": "%b", "n": %d}' % (name.encode(), i) for i, name in enumerate(names)]
    async with http2_client(deployed.gateway) as client:
        streams = [await client.open() for _ in bodies]
        for place in range(max(map(len, bodies))):
            for stream, body in zip(streams, bodies, strict=True):
                if place < len(body):
                    end = place == len(body) - 1
                    await client.send_data(stream, body[place : place + 1], end=end)
        answers = [await client.answer(stream) for stream in streams]

    assert [answer.pool for answer in answers] == ["renamed", "same"] * 10
    assert all(
        arrived(answer, body.replace(b'"m"', b'"org/target"'))
        for answer, body in zip(answers, bodies, strict=True)
    )


async def test_a_stream_that_is_given_up_harms_no_other(deployed: Deployment):
    async with http2_client(deployed.gateway) as client:
        given_up = [await client.open() for _ in range(20)]
        for i, stream in enumerate(given_up):
            await client.send_data(stream, BODY[:i])
        kept = await client.open()
        for stream in given_up:
            await client.reset(stream)
        await client.send(kept, [BODY])

        assert arrived(await client.answer(kept), RENAMED)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_above_the_limit_is_refused_and_the_connection_goes_on(
    deployed: Deployment, path
):
    async with http2_client(deployed.gateway) as client:
        refused = await client.ask(cut(b"[" * 150_000, 5_000), path=path)
        waiting = await client.open(path=path, headers=(JSON, ("content-length", "100001")))
        told = await client.answer(waiting)
        answer = await client.ask([BODY], path=path)

    assert refusal(refused) == (413, "request_too_large")
    assert refusal(told) == (413, "request_too_large")
    assert arrived(answer, RENAMED)


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_a_method_without_a_body_goes_by_its_path_alone(deployed: Deployment, method):
    async with http2_client(deployed.gateway) as client:
        refused = await client.ask([], method=method, headers=())
        routed = await client.ask([], method=method, path="/v1/same/x", headers=())

    assert refusal(refused) == (400, "missing_model")
    assert arrived(routed, b"")
    assert routed.seen["method"] == method


async def test_errors_have_the_same_shape_as_over_http1(deployed: Deployment):
    async with http2_client(deployed.gateway) as client:
        answers = [
            await client.ask([body]) for body in (b"{", b"{}", b'{"model": "x"}', b'{"model": 1}')
        ]

    assert [refusal(answer) for answer in answers] == [
        (400, "invalid_json"),
        (400, "missing_model"),
        (404, "model_not_found"),
        (400, "missing_model"),
    ]
