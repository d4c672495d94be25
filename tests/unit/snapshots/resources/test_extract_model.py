"""The Lua script and the companion are of one mind about every body."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapshots.ir.names import MODEL_HEADER, WHITE_SPACE
from snapshots.ir.refusals import REFUSALS
from tests.support.corpus import CASES, Case, large_cases
from tests.support.corpus_multipart import AUDIO, BOUNDARY
from tests.support.extraction_script import Verdict, extract, run
from tests.support.json_texts import (
    CHARACTERS,
    MODEL_KEYS,
    OTHER_KEYS,
    VALUES,
    members,
    objects,
    strings,
)
from tests.support.lua_filter import Outcome
from xds_server.ext_proc.errors import ModelNameError, error_body
from xds_server.ext_proc.model_name import model_name


def by_the_companion(body: bytes, content_type: str) -> Verdict:
    try:
        return Verdict(model_name(body, content_type.encode()))
    except ModelNameError as refused:
        error = json.loads(error_body(refused))["error"]
        return Verdict(None, 0, error["code"], error["message"])


def assert_agreed(body: bytes, content_type: str = "application/json") -> None:
    here, there = extract(body, content_type), by_the_companion(body, content_type)
    assert (here.name, here.code) == (there.name, there.code), (here, there)
    if here.code in {"missing_model", "model_not_found", "ambiguous_model"}:
        assert here.message == there.message


# --- the corpus ---


def id_of(case: Case) -> str:
    return case.name


@pytest.mark.parametrize("case", CASES, ids=id_of)
def test_the_corpus_is_read_as_it_demands(case: Case):
    verdict = extract(case.body or None, case.content_type)

    assert case.allows(verdict.name, verdict.code), verdict
    assert verdict.code is None or verdict.status == REFUSALS[verdict.code].status


def test_large_bodies_are_read_as_the_corpus_demands():
    for case in large_cases():
        verdict = extract(case.body, case.content_type)

        assert case.allows(verdict.name, verdict.code), (case.name, verdict)


# --- what holds for all bodies ---

NAMES = st.sampled_from(["m", "llama", "org/x", "", " ", "-", "a ", "\u3000", "a\x7fb", "é" * 129])
MODELS = members(MODEL_KEYS, strings(NAMES | st.text(CHARACTERS, max_size=4)) | VALUES)
OBJECTS = objects(MODELS | members(OTHER_KEYS, VALUES))


@settings(max_examples=300)
@given(OBJECTS)
def test_every_object_is_read_as_by_the_companion(text):
    assert_agreed(text.encode())


@settings(max_examples=300)
@given(OBJECTS, st.data())
def test_every_object_with_a_changed_byte_is_read_as_by_the_companion(text, data):
    body = text.encode()
    at = data.draw(st.integers(0, len(body)))
    put = data.draw(st.sampled_from(["", *'{}[]",:\\-.eE+u01nN \n\0\x7f']).map(str.encode))
    put = data.draw(st.just(put) | st.binary(min_size=1, max_size=2))

    assert_agreed(body[:at] + put + body[at + data.draw(st.integers(0, 2)) :])


@settings(max_examples=300)
@given(st.text('{}[]",:\\ model', max_size=30) | st.binary(max_size=30))
def test_no_bytes_are_read_otherwise_than_by_the_companion(text):
    assert_agreed(text if isinstance(text, bytes) else text.encode())


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=6))
@example(b"\xf0\x9f\x98\x80")
@example(b"\xed\xa0\x80")
@example(b"\xf4\x90\x80\x80")
def test_the_same_bytes_are_text(some):
    assert_agreed(b'{"model": "m", "x": "' + some + b'"}')
    assert_agreed(b'{"model": "a' + some + b'b"}')


FORMS = [case for case in CASES if case.name.startswith("form") and len(case.body) < 20_000]
EDGES = [
    "",
    " ",
    "\t",
    ";",
    '"',
    "\\",
    "=",
    ":",
    "*",
    "-",
    "--",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\v",
    "é",
]
EDGES += [
    "\r\n\r\n",
    "; filename=x",
    '; name="model"',
    "name*=",
    "\r\n--b",
    "--b--",
    "b",
    "X: y\r\n",
]


@st.composite
def changed(draw, text):
    """Draw *text* with something of it left out, or put in."""
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(EDGES)) + text[at + draw(st.integers(0, 3)) :]
    return text


@settings(max_examples=500)
@given(st.data(), st.sampled_from(FORMS))
def test_every_changed_form_is_read_as_by_the_companion(data, case):
    short = case.body.replace(BOUNDARY.encode(), b"b").replace(AUDIO, b"RIFF").decode("latin-1")
    kind = case.content_type.replace(BOUNDARY, "b")

    assert_agreed(data.draw(changed(short)).encode("latin-1"), data.draw(changed(kind)))


def test_every_character_makes_the_same_name_or_none():
    some = [*range(0x3100), *random.Random(7).sample(range(0x3100, 0x110000), 500)]
    for code in {*some, 0xD800, 0xDFFF, 0xFEFF, 0xFFFF, 0x10FFFF}:
        character = chr(code)
        for name in (character, f"a{character}", f"{character}a", f"a{character}b"):
            assert_agreed(json.dumps({"model": name}).encode())


NUMBERS = [
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "1e+",
    "-NaN",
    "Inf",
    "0x1",
    "1_0",
    "1.e1",
    "--1",
    "-01",
]
NUMBERS += ["0.0", "1e9999", "-0.1E-7", "0e0", "9" * 4300, "9" * 4301, "-" + "9" * 4300]
NUMBERS += ["-" + "9" * 4301, "9" * 5000 + ".5", "9" * 5000 + "e1", "1." + "9" * 5000]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:12])
def test_the_same_numbers_are_numbers(number):
    assert_agreed(f'{{"model": "m", "n": {number}}}'.encode())
    assert_agreed(f'{{"n": [{number}], "model": "m"}}'.encode())


@pytest.mark.parametrize("levels", [1, 499, 500])
def test_nesting_up_to_500_levels_is_read(levels):
    body = b'{"model": "m", "a": %b1%b}' % (b"[" * (levels - 1), b"]" * (levels - 1))

    assert extract(body).name == "m"


def test_deeper_nesting_is_refused():
    verdict = extract(b'{"model": "m", "a": %b1%b}' % (b"[" * 500, b"]" * 500))

    assert (verdict.code, verdict.message) == (
        "invalid_json",
        "The request body is not a JSON object: it is nested too deeply.",
    )
    assert extract(b'{"a":' * 1_000_000).code == "invalid_json"


def test_white_space_is_what_python_takes_for_it():
    assert {chr(code) for code in range(0x110000) if chr(code).isspace()} == set(WHITE_SPACE)


# --- and plainly ---


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request names no model: it has no body."),
        (b'{"model": ', "The request body is not a JSON object: it ends too early."),
        (b"model=m", "The request body is not a JSON object: it is not JSON at byte 1."),
        (b"{}", 'The request names no model: there is no "model" at the top level of the body.'),
        (b'{"model": null}', 'The request names no model: "model" is null.'),
        (b'{"model": ""}', 'The request names no model: "model" is blank.'),
        (
            b'{"model": [1]}',
            'The request names no model: "model" is an array; write it as a string, in quotes.',
        ),
        (
            b'{"model": -4.5}',
            'The request names no model: "model" is a number; write it as a string, in quotes.',
        ),
        (b'{"model": "a\\"\\\\ b "}', 'The model `a"\\ b ` does not exist.'),
        (b'{"model": "a\\u0000\\ud800"}', "The model `a\0\\ud800` does not exist."),
        (('{"model": "' + "ü" * 5000 + '"}').encode(), f"The model `{'ü' * 80}…` does not exist."),
    ],
)
def test_a_refusal_says_why(body, message):
    assert extract(body).message == message


def test_no_body_is_no_model():
    assert extract(None) == Verdict(
        None, 400, "missing_model", "The request names no model: it has no body."
    )


def test_a_request_whose_model_is_known_passes_unread():
    assert run(b"no matter", {MODEL_HEADER: "llama"}) == Outcome()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", [b"[", b'{"a":', b"\\", b'\\"', b"\\u0020", b"\\ud83d", b" ", b"\xc3\xbc", b"9", b"0,"]
)
def test_no_large_body_takes_long(piece):
    filling = piece * (4_000_000 // len(piece))
    for body in (b'{"model":"' + filling + b'"}', b'{"a":[' + filling + b"]}", b"{" + filling):
        assert extract(body).code is not None


def test_keys_take_little_longer_than_strings_that_are_none():
    """Whatever they are, and however many: nothing is made of them."""
    strings = [b'"\\u0061%012d"' % i for i in range(100_000)]
    keys = b'{"model":"m",%b}' % b",".join(string + b":1" for string in strings)
    values = b'{"model":"m","":[%b]}' % b",".join(string + b",1" for string in strings)

    assert cpu_s(keys) < 6 * cpu_s(values)


def cpu_s(body: bytes) -> float:
    """Return the least time of three that *body* takes."""
    times_s = []
    for _ in range(3):
        started_s = time.process_time()
        assert extract(body).name == "m"
        times_s.append(time.process_time() - started_s)
    return min(times_s)
