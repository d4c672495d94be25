"""What is said of forms beyond the corpus, and what they may cost."""

from __future__ import annotations

import contextlib
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.corpus_multipart import BOUNDARY, FORM, LLAMA, MODEL, SOUND, form, part
from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import model_name
from xds_server.ext_proc.multipart import form_models, is_form, shortest

TYPE = FORM.encode()
NEXT = f"\r\n--{BOUNDARY}".encode()


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"multipart/form-data; boundary=b", True),
        (b" Multipart/Form-Data\t", True),
        (b"multipart/form-data;", True),
        (b"multipart/form-data boundary=b", False),
        (b"multipart/mixed", False),
        (b"application/json; a=multipart/form-data", False),
        (b"", False),
    ],
)
def test_the_type_alone_tells_a_form(content_type, expected):
    assert is_form(content_type) is expected


@pytest.mark.parametrize(
    "content_type",
    [
        TYPE,
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data;=",
        b"multipart/form-data; boundary=" + b"x" * 71,
        b"Multipart/Form-Data ;a=" + b"x" * 5000 + b"; boundary=" + BOUNDARY.encode(),
        b"multipart/form-data; boundary*=b; boundary=" + BOUNDARY.encode(),
        b'multipart/form-data; boundary="(b \'/:=?,. b)"',
        b"multipart/form-data; boundary=" + b"-" * 70,
    ],
)
def test_the_shortest_type_is_read_as_the_one_that_it_stands_for(content_type):
    short = shortest(content_type)

    assert len(short) <= 102
    for body in (form(LLAMA, SOUND), b'{"model": "llama"}', b"--(b '/:=?,. b)--"):
        assert outcome(body, short) == outcome(body, content_type)


def outcome(body: bytes, content_type: bytes) -> str:
    try:
        return model_name(body, content_type)
    except ModelNameError as error:
        return error.code


def test_every_value_is_given_in_its_order():
    body = form(LLAMA, SOUND, part(b"b", MODEL), LLAMA)

    assert form_models(body, TYPE) == ["llama", "b", "llama"]


@pytest.mark.parametrize(
    ("body", "content_type", "detail"),
    [
        (form(LLAMA), b"multipart/form-data", "has no boundary"),
        (form(LLAMA), b"multipart/form-data; boundary", "parameters around its boundary"),
        (b"llama", TYPE, "no delimiter"),
        (form(LLAMA, end=b"\r\n"), TYPE, "no delimiter at its end"),
        (form(b"llama"), TYPE, "headers of a part do not end"),
        (form(part(b"llama", b"a: b")), TYPE, "no Content-Disposition of form-data"),
        (form(part(b"\xff", MODEL)), TYPE, 'part "model" is not UTF-8'),
    ],
)
def test_the_reason_is_told(body, content_type, detail):
    with pytest.raises(ModelNameError) as refused:
        model_name(body, content_type)

    assert refused.value.code == "invalid_multipart"
    assert detail in refused.value.detail


@given(st.integers(1, len(form(LLAMA, SOUND)) - 3))
def test_a_cut_form_is_always_invalid(kept):
    """Only the line break behind the last delimiter may be missing."""
    with pytest.raises(ModelNameError, match="invalid_multipart"):
        model_name(form(LLAMA, SOUND)[:kept], TYPE)


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)


@given(NAMES.filter(lambda name: name == name.strip() != "-"), st.binary(max_size=300))
def test_any_name_is_found_beside_any_file(name, content):
    if NEXT in content:
        return
    file = part(content, b'Content-Disposition: form-data; name="file"; filename="a"')

    assert model_name(form(file, part(name.encode(), MODEL)), TYPE) == name


@pytest.mark.parametrize(
    "body",
    [
        form(part(b"", b"X:" + b" " * 8000)),
        form(*[part(b"a", MODEL + b"; " + b" " * 8000 + b"(")] * 1000),
        form(*[part(b"a", MODEL + b";" * 8000)] * 1000),
        form(*[part(b"a", MODEL + b'; a="' + b"\\" * 8000)] * 1000),
        form(*[part(b"a", b"a:\r\n" * 2000, MODEL)] * 1000),
        NEXT * 200_000,
        (b"\r\n--" + BOUNDARY[:-1].encode()) * 200_000,
        b"\r\n" * 4_000_000,
    ],
    ids=["blanks", "more blanks", "semicolons", "backslashes", "lines", "edges", "near", "breaks"],
)
def test_no_form_takes_long(body):
    """The longest of them are 8 MB; the bound is far above what any takes."""
    began = process_time()
    with contextlib.suppress(ModelNameError):
        model_name(body, TYPE)

    assert process_time() - began < 5


def test_a_boundary_of_many_blanks_does_not_take_long():
    began = process_time()
    with pytest.raises(ModelNameError):
        model_name(b"a", b"multipart/form-data;" + b" ;" * 30_000 + b" " * 60_000 + b"=")

    assert process_time() - began < 1
