import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.http_response import ResponseError, ResponseParser

PLAIN = b"HTTP/1.1 503 Service Unavailable\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\nA;x=y\r\n, world...\r\n0\r\nx-trailer: 1\r\n\r\n"
)


@given(st.sampled_from([(PLAIN, 503, b"hello"), (CHUNKED, 200, b"hello, world...")]), st.data())
def test_a_response_is_whole_however_it_is_cut(case, data):
    raw, status, body = case
    cuts = sorted(data.draw(st.sets(st.integers(1, len(raw) - 1))))
    parser = ResponseParser()

    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    *none, response = [parser.feed(piece) for piece in pieces]

    assert none == [None] * (len(pieces) - 1)
    assert (response.status, response.body) == (status, body)
    assert not parser.left_over


def test_one_parser_reads_one_response_after_the_other():
    parser = ResponseParser()

    bodies = [parser.feed(raw).body for raw in (PLAIN, CHUNKED, PLAIN)]

    assert bodies == [b"hello", b"hello, world...", b"hello"]


def test_interim_and_bodiless_responses_are_understood():
    parser = ResponseParser()

    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nconnection: Close\r\n\r\n"
    response = parser.feed(raw)

    assert (response.status, response.body, response.keeps_alive) == (204, b"", False)


def test_bytes_that_were_not_asked_for_are_left_over():
    parser = ResponseParser()

    assert parser.feed(PLAIN + b"HTTP") is not None
    assert parser.left_over


@pytest.mark.parametrize(
    "raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nendless"]
)
def test_what_is_no_response_of_known_length_is_an_error(raw):
    with pytest.raises(ResponseError):
        ResponseParser().feed(raw)
