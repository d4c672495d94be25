import asyncio

import pytest

from tests.support.http1_client import chunk, chunked, cut, head, http1_client, whole
from xds_server.address import Address


def test_a_body_is_told_by_its_length_or_cut_into_chunks():
    assert whole(b"abc", headers=()).endswith(b"content-length: 3\r\n\r\nabc")
    assert head("GET", "/x", headers=()) == b"GET /x HTTP/1.1\r\nhost: modelyard.test\r\n\r\n"
    assert chunk(b"0123456789ab", ";a") == b"c;a\r\n0123456789ab\r\n"
    assert chunked([b"a", b"", b"bc"], trailers=b"x: 1\r\n") == (
        b"1\r\na\r\n2\r\nbc\r\n0\r\nx: 1\r\n\r\n"
    )
    assert list(cut(b"abcde", 2)) == [b"ab", b"cd", b"e"]


@pytest.mark.parametrize(
    ("wire", "method", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "POST", 200, b"hi"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "HEAD", 200, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "POST", 204, b""),
        (
            b"HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n2;x\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
            "POST",
            200,
            b"hi!",
        ),
    ],
)
async def test_an_answer_is_read_to_its_end_and_no_further(wire, method, status, body):
    async def serve(_reader, writer):
        writer.write(wire + b"HTTP/1.1 418 Next\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, http1_client(Address(*server.sockets[0].getsockname())) as client:
        answer = await client.answer(method)
        next_answer = await client.answer()

    assert (answer.status, answer.body) == (status, body)
    assert next_answer.status == 418
