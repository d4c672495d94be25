import hashlib
import json
from urllib.parse import unquote

import pytest

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.received import MAX_HEADER_CHARS, header_text, read_received


def received(body: bytes, *headers: tuple[bytes, bytes]):
    return read_received("/v1/chat/completions?x=1", headers, body)


def test_the_report_tells_the_body_by_its_bytes_and_not_by_its_meaning():
    body = b'{ "model":"a" ,"b":1.0}'

    report = received(body).report("server-1")

    assert report == {
        "server": "server-1",
        "model": "a",
        "path": "/v1/chat/completions?x=1",
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_bytes": len(body),
        "headers": {},
    }


def test_only_routing_headers_are_reported_and_a_second_copy_shows():
    seen = received(
        b'{"model": "a"}',
        (b"X-Gateway-Model-Name", b"a"),
        (b"x-gateway-model-name", b"smuggled"),
        (b"x-gateway-base-model-name", "grüße".encode()),
        (b"authorization", b"Bearer secret"),
    )

    assert seen.headers == {
        "x-gateway-model-name": "a, smuggled",
        "x-gateway-base-model-name": "grüße",
    }


def test_a_body_without_a_model_is_accepted_as_such():
    assert received(b"{}").model is None
    assert received(b'{"model": null}').model is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"model": "a"', b"[]", b'"a"', b"\xff\xfe", b"[" * 100_000, b"9" * 5000],
)
def test_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(RefusedError) as refused:
        received(body)

    assert refused.value.status == 400
    assert refused.value.body["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("model", [1, True, [], {}])
def test_a_model_that_is_no_string_is_refused(model):
    with pytest.raises(RefusedError) as refused:
        received(json.dumps({"model": model}).encode())

    assert refused.value.status == 400
    assert refused.value.body["error"]["param"] == "model"


@pytest.mark.parametrize("name", ["a/b:c", "ünïcødé", "50%", "a b", "line\nbreak: x", ""])
def test_any_model_name_fits_a_header_and_can_be_read_back(name):
    text = header_text(name)

    assert text.isascii()
    assert text.isprintable()
    assert unquote(text) == name


def test_an_ordinary_model_name_is_written_as_it_is():
    name = "meta-llama/Llama-3.2-1B-Instruct:v1 (beta)"

    assert header_text(name) == name


def test_a_header_is_bounded_and_survives_half_a_character():
    assert len(header_text("ä" * 10_000)) == MAX_HEADER_CHARS
    assert header_text("\ud800").isascii()
