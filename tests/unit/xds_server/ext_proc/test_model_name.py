"""Which bodies name a model, and what is wrong with those that do not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.ext_proc.errors import ModelNameError
from xds_server.ext_proc.model_name import is_routable, model_name


def nested(opening: str, closing: str, levels: int) -> bytes:
    return f'{{"model": "llama", "a": {opening * levels}1{closing * levels}}}'.encode()


NAMES = {
    "plain": b'{"model": "llama", "messages": []}',
    "last member": b'{"messages": [{"content": "{\\"model\\": \\"other\\"}"}], "model": "llama"}',
    "white space around": b' \r\n\t{ "model" : "llama" } \n',
    "escaped key": b'{"\\u006dodel": "llama"}',
    "escaped value": b'{"model": "\\u006clama"}',
    "nested key is not it": b'{"metadata": {"model": "other"}, "model": "llama"}',
    "nested key after it": b'{"model": "llama", "metadata": {"model": 1}}',
    "twice the same": b'{"model": "llama", "n": 1, "model": "llama"}',
    "not a number": b'{"model": "llama", "temperature": NaN, "a": [Infinity, -Infinity]}',
    "huge float": b'{"model": "llama", "temperature": 1e999}',
    "other case is another key": b'{"Model": "other", "MODEL": 1, "model": "llama"}',
}

ODD_NAMES = [
    "meta-llama/Llama-3.2-1B-Instruct",
    "registry:5000/a@sha256:0",
    "модель/ü",
    "模型",
    "a model with spaces",
    "--",
    "123",
    "null",
    'quote " and \\ backslash',
    "😀",
    "x" * 256,
    "ü" * 128,
]

REFUSED = {
    "empty": (b"", "missing_model", "it has no body"),
    "white space": (b"  \n", "invalid_json", "Expecting value"),
    "text": (b"model=llama", "invalid_json", "Expecting value"),
    "cut short": (b'{"model": "llama", "messages": [{"role": "us', "invalid_json", "Unterminated"),
    "more after the object": (b'{"model": "llama"} x', "invalid_json", "Extra data"),
    "two objects": (b'{"model": "llama"}\n{"model": "b"}', "invalid_json", "Extra data"),
    "trailing comma": (b'{"model": "llama",}', "invalid_json", "line 1 column"),
    "single quotes": (b"{'model': 'llama'}", "invalid_json", "line 1 column 2"),
    "raw line break in a string": (b'{"model": "a\nb"}', "invalid_json", "control character"),
    "invalid UTF-8": (
        b'{"model": "llama", "a": "\xff"}',
        "invalid_json",
        "not UTF-8 text (byte 25)",
    ),
    "UTF-8 of a surrogate": (b'{"model": "\xed\xa0\x80"}', "invalid_json", "not UTF-8"),
    "latin-1": ('{"model": "ü"}'.encode("latin-1"), "invalid_json", "not UTF-8"),
    "UTF-16": ('{"model": "llama"}'.encode("utf-16"), "invalid_json", "not UTF-8"),
    "byte order mark": (b'\xef\xbb\xbf{"model": "llama"}', "invalid_json", "byte order mark"),
    "gzip": (b"\x1f\x8b\x08\x00", "invalid_json", "not UTF-8"),
    "array": (b'[{"model": "llama"}]', "invalid_json", "an object in braces"),
    "array of pairs": (b'[["model", "llama"]]', "invalid_json", "an object in braces"),
    "string": (b'"model"', "invalid_json", "an object in braces"),
    "object in an object in an array": (b'[{"a": {"model": "b"}}]', "invalid_json", "braces"),
    "null": (b"null", "invalid_json", "an object in braces"),
    "too many digits": (b'{"n": ' + b"9" * 5000 + b"}", "invalid_json", "too many digits"),
    "absent": (b'{"messages": []}', "missing_model", 'no "model"'),
    "no members": (b"{}", "missing_model", 'no "model"'),
    "only nested": (b'{"a": {"model": "llama"}}', "missing_model", 'no "model"'),
    "null model": (b'{"model": null}', "missing_model", "null"),
    "empty model": (b'{"model": ""}', "missing_model", "blank"),
    "blank model": (b'{"model": " \\t "}', "missing_model", "blank"),
    "number": (b'{"model": 4}', "missing_model", "a number; write it as a string, in quotes"),
    "float": (b'{"model": 4.5}', "missing_model", "a number"),
    "boolean": (b'{"model": true}', "missing_model", "a boolean"),
    "list": (b'{"model": ["llama"]}', "missing_model", "an array"),
    "object": (b'{"model": {"name": "llama"}}', "missing_model", "an object"),
    "twice null": (b'{"model": null, "model": null}', "ambiguous_model", "different values"),
    "two names": (b'{"model": "a", "model": "b"}', "ambiguous_model", "different values"),
    "two spellings": (b'{"model": "a", "\\u006dodel": "b"}', "ambiguous_model", "different"),
    "name and null": (b'{"model": "a", "model": null}', "ambiguous_model", "different values"),
    "null and name": (b'{"model": null, "model": "a"}', "ambiguous_model", "different values"),
    "dash": (b'{"model": "-"}', "model_not_found", "-"),
    "space before": (b'{"model": " a"}', "model_not_found", " a"),
    "space after": (b'{"model": "a "}', "model_not_found", "a "),
    "line break": (b'{"model": "a\\r\\nx-evil: 1"}', "model_not_found", "a\r\nx-evil: 1"),
    "zero": (b'{"model": "a\\u0000b"}', "model_not_found", "a\0b"),
    "delete": (b'{"model": "a\\u007fb"}', "model_not_found", "a\x7fb"),
    "lone surrogate": (b'{"model": "\\ud800"}', "model_not_found", "\\ud800"),
    "257 bytes": (b'{"model": "' + b"x" * 257 + b'"}', "model_not_found", "x" * 80 + "…"),
    "258 bytes of 129": (
        ('{"model": "' + "ü" * 129 + '"}').encode(),
        "model_not_found",
        "ü" * 80 + "…",
    ),
}


@pytest.mark.parametrize("body", NAMES.values(), ids=NAMES)
def test_the_top_level_model_is_found(body):
    assert model_name(body) == "llama"


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_name_may_hold_whatever_a_header_value_may(name, ascii_only):
    assert model_name(json.dumps({"model": name}, ensure_ascii=ascii_only).encode()) == name


@pytest.mark.parametrize(("body", "code", "detail"), REFUSED.values(), ids=REFUSED)
def test_a_body_without_a_usable_name_is_refused_with_its_reason(body, code, detail):
    with pytest.raises(ModelNameError) as refused:
        model_name(body)

    assert refused.value.code == code
    assert detail in refused.value.detail


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_10_000_levels_of_nesting_are_read_or_invalid(opening, closing):
    """Where the limit lies is the interpreter's affair: it moved in Python 3.12 and 3.14."""
    assert answer_to(nested(opening, closing, 10_000)) in {"name llama", "invalid_json"}


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_million_levels_of_nesting_are_invalid_rather_than_a_crash(opening, closing):
    with pytest.raises(ModelNameError, match="nested too deeply"):
        model_name(nested(opening, closing, 1_000_000))


@pytest.mark.parametrize("levels", range(900, 1010))
def test_a_model_that_is_a_deep_object_is_refused_at_any_depth(levels):
    body = b'{"model": ' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"

    assert answer_to(body) in {"missing_model", "invalid_json"}


def test_what_came_before_does_not_show():
    """The parser is told of each object, also of those in a body that is refused."""
    for before in (b'[{"model": "llama"}', b'[{"model": "llama"}]', b'{"model": "llama"}'):
        answer_to(before)

        assert answer_to(b"null") == "invalid_json"


def test_unclosed_nesting_is_invalid_rather_than_a_crash():
    with pytest.raises(ModelNameError, match="invalid_json"):
        model_name(b"[" * 1_000_000)


@pytest.mark.timeout(20)
def test_a_body_of_50_mb_is_read():
    padding = "x" * 50_000_000

    assert model_name(json.dumps({"messages": padding, "model": "llama"}).encode()) == "llama"


def test_a_name_of_50_mb_is_not_repeated_in_the_error():
    with pytest.raises(ModelNameError) as refused:
        model_name(b'{"model": "' + b"x" * 50_000_000 + b'"}')

    assert len(refused.value.detail) < 100


KEYS = st.sampled_from(["model", "Model", "messages", ""]) | st.text(max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TEXTS = st.builds(
    json.dumps,
    VALUES | st.dictionaries(KEYS, VALUES) | st.builds(lambda name: {"model": name}, VALUES),
    ensure_ascii=st.booleans(),
    indent=st.none() | st.just(2),
)


def answer_to(body: bytes, content_type: bytes = b"") -> str:
    """Return the name found, or the code of the refusal."""
    try:
        return f"name {model_name(body, content_type)}"
    except ModelNameError as error:
        return error.code


def expected_answer(text: str) -> str:
    """Say what the answer must be, by way of `json.loads` alone; no key may occur twice."""
    if not text:
        return "missing_model"
    try:
        document = json.loads(text)
    except ValueError:
        return "invalid_json"
    if not isinstance(document, dict):
        return "invalid_json"
    name = document.get("model")
    if not isinstance(name, str) or not name.strip():
        return "missing_model"
    return f"name {name}" if is_routable(name) else "model_not_found"


@given(TEXTS)
def test_any_document_is_understood_as_json_loads_does(text):
    assert answer_to(text.encode("utf-8", "surrogatepass")) == expected_answer(text)


@given(TEXTS, st.data())
def test_any_damaged_document_is_judged_as_json_loads_does(text, data):
    place = data.draw(st.integers(0, len(text)))
    removed = data.draw(st.integers(0, 3))
    damage = data.draw(st.text(alphabet='{}[]",:\\0-.eE \n\t\x00truenl', max_size=3))
    damaged = text[:place] + damage + text[place + removed :]

    answer = answer_to(damaged.encode())

    assert answer in {expected_answer(damaged), "ambiguous_model"}


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.data())
def test_a_cut_body_is_always_invalid(document, data):
    body = json.dumps(document).encode()
    kept = data.draw(st.integers(1, len(body) - 1))

    assert answer_to(body[:kept]) == "invalid_json"


@pytest.mark.parametrize("kind", [b"", b"multipart/form-data; boundary=b"])
@given(body=st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(kind, body):
    answer_to(body, kind)


@given(st.text(max_size=300))
def test_a_name_that_passes_is_a_header_value(name):
    if is_routable(name):
        value = name.encode()

        assert 0 < len(value) <= 256
        assert not set(value) & {*range(0x20), 0x7F}
