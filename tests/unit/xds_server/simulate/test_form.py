import hashlib

import pytest

from xds_server.simulate.errors import RefusedError
from xds_server.simulate.form import is_form, read_form

TYPE = 'multipart/form-data; boundary="x y"'
FORM = (
    b'--x y\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
    b'--x y\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"content-type: audio/wav\r\n\r\n\x00\r\n--x\xff\r\n--x y--\r\n"
)


def test_text_is_told_as_it_is_and_a_file_by_its_bytes():
    fields = read_form(TYPE, FORM)

    digest = hashlib.sha256(b"\x00\r\n--x\xff").hexdigest()
    assert fields == {
        "model": "whisper",
        "file": {"filename": "a.wav", "bytes": 7, "sha256": digest},
    }


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", FORM),
        (TYPE, FORM[:-6]),
        (TYPE, b""),
        (TYPE, b"x" + FORM),
        (TYPE, b"--x y\r\n\r\nno name\r\n--x y--"),
        (TYPE, b"--x y\r\n--x y--"),
    ],
)
def test_a_form_that_cannot_be_told_is_refused(content_type, body):
    with pytest.raises(RefusedError) as refused:
        read_form(content_type, body)

    assert refused.value.body["error"]["code"] == "invalid_multipart"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (TYPE, True),
        ("Multipart/Form-Data;boundary=x", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_the_content_type_tells_a_form(content_type, expected):
    assert is_form(content_type) is expected
