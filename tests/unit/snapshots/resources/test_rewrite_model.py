"""The Lua script changes the value of the top-level `model`, and no other byte."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapshots.ir import model as ir
from tests.support.corpus import CASES, Case
from tests.support.extraction_script import extract
from tests.support.json_texts import (
    CHARACTERS,
    MODEL_KEYS,
    OTHER_KEYS,
    VALUES,
    WHITE_SPACE,
    members,
    object_of,
    strings,
)
from tests.support.lua_filter import Outcome
from tests.support.rewrite_script import context_for, rewrite, run

NAME = "meta-llama/Llama-3.2-1B-Instruct"
ADAPTERS = ("food-review", "sql-lora", "ü/ß", "🦙", 'say "a\\b"')


@dataclass(frozen=True)
class Member:
    """One member of the outermost object, and what is to become of it."""

    before: str
    after: str


@st.composite
def model_members(draw):
    key = draw(MODEL_KEYS) + draw(WHITE_SPACE) + ":" + draw(WHITE_SPACE)
    value = draw(strings(st.sampled_from([*ADAPTERS, "small", ""])) | VALUES)
    decoded = json.loads(value)
    is_replaced = isinstance(decoded, str) and decoded not in ADAPTERS
    return Member(key + value, key + (json.dumps(NAME) if is_replaced else value))


OTHER_MEMBERS = members(OTHER_KEYS, VALUES).map(lambda text: Member(text, text))


@st.composite
def documents(draw):
    """Draw an object with any number of top-level `model`: as it comes, as it is to become."""
    drawn = draw(st.lists(model_members() | OTHER_MEMBERS, max_size=4))
    spaces = [draw(WHITE_SPACE) for _ in range(2 * len(drawn) + 2)]
    return tuple(
        object_of([getattr(member, side) for member in drawn], spaces)
        for side in ("before", "after")
    )


# --- what holds for all of them ---


@settings(max_examples=200, deadline=None)
@given(documents())
def test_only_top_level_model_strings_change_however_they_are_written(document):
    before, after = document
    json.loads(before)

    assert rewrite(before.encode(), NAME, ADAPTERS).decode() == after


@settings(max_examples=100, deadline=None)
@given(documents())
def test_a_second_pass_changes_nothing(document):
    once = rewrite(document[0].encode(), NAME, ADAPTERS)

    assert rewrite(once, NAME, ADAPTERS) == once


@settings(max_examples=100, deadline=None)
@given(documents(), st.data())
def test_a_body_cut_short_stays_as_it_is(document, data):
    whole = document[0].rstrip().encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]

    assert rewrite(cut, NAME) == cut


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_a_body_that_is_no_object_stays_as_it_is(text):
    body = (f"[{text}]" if text.startswith("{") else f" {text}").encode()

    assert rewrite(body, NAME) == body


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80) | st.text('{}[]",:\\ model', max_size=80).map(str.encode))
def test_no_bytes_break_the_script(body):
    rewrite(body, NAME, ADAPTERS)


@settings(max_examples=100, deadline=None)
@given(st.text(CHARACTERS.filter(str.isprintable), min_size=1, max_size=20))
@example('name "q" \\ %')
@example("%1 \\u0041 🦙")
def test_any_name_arrives(name):
    rewritten = rewrite(b'{"model": "small", "n": 1}', name)

    assert json.loads(rewritten) == {"model": name, "n": 1}


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ADAPTERS).flatmap(lambda name: strings(st.just(name))))
def test_an_adapter_is_kept_however_it_is_written(written):
    body = f'{{"model": {written}}}'.encode()

    assert rewrite(body, NAME, ADAPTERS) == body


# --- the corpus ---

ROUTED = [case for case in CASES if case.code is None]
REFUSED = [case for case in CASES if case.code in {"invalid_json", "invalid_multipart"}]


@pytest.mark.parametrize("case", ROUTED, ids=lambda case: case.name)
def test_a_body_that_extraction_lets_pass_names_the_new_model(case: Case):
    there = rewrite(case.body, NAME, (), case.content_type)
    back = rewrite(there, "llama", (), case.content_type)
    again = rewrite(back, NAME, (), case.content_type)

    assert extract(there, case.content_type).name == NAME
    assert extract(back, case.content_type).name == "llama"
    assert again == there


@pytest.mark.parametrize("case", ROUTED, ids=lambda case: case.name)
def test_a_kept_name_of_the_corpus_is_kept(case: Case):
    assert rewrite(case.body, NAME, ("x", case.model or ""), case.content_type) == case.body


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_a_body_that_is_not_well_formed_stays_as_it_is(case: Case):
    """It came by a path, where nobody read it. Deep nesting is read here, names are not judged."""
    changed = rewrite(case.body, NAME, (), case.content_type)

    read_here = case.name.startswith("nested") or case.name.endswith(("not UTF-8", "a surrogate"))
    assert changed == case.body or read_here


# --- forms ---

FORM = "multipart/form-data; boundary=b"
CONTENTS = st.sampled_from([b"", b"small", b"\r\n", b"--b", b"\n--b\r\n", b"\r\n-", b"model"])
CONTENTS |= st.binary(max_size=12)
FIELDS = ["model", "file", "Model", "prompt"]


@st.composite
def form_parts(draw):
    """Draw a part: its head, its content, and whether that is a name."""
    name, is_file = draw(st.sampled_from(FIELDS)), draw(st.booleans())
    filename = '; filename="model"' if is_file else ""
    head = f'Content-Disposition: form-data; name="{name}"{filename}\r\nX: y\r\n\r\n'
    content = draw(CONTENTS.filter(lambda content: b"\r\n--b" not in b"\r\n" + content))
    return head.encode(), content, name == "model" and not is_file


@settings(max_examples=200, deadline=None)
@given(st.lists(form_parts(), max_size=5))
def test_only_the_text_part_of_the_name_changes_in_a_form(parts):
    before = b"".join(b"--b\r\n" + head + content + b"\r\n" for head, content, _ in parts)
    after = b"".join(
        b"--b\r\n" + head + (NAME.encode() if is_name else content) + b"\r\n"
        for head, content, is_name in parts
    )

    assert rewrite(before + b"--b--\r\n", NAME, (), FORM) == after + b"--b--\r\n"
    assert rewrite(before + b"--b-\r\n", NAME, (), FORM) == before + b"--b-\r\n"


def test_a_form_names_the_model_without_the_escapes_of_json():
    before = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsmall\r\n--b--'
    after = before.replace(b"small", 'a "ü" \\ 🦙'.encode())

    assert rewrite(before, 'a "ü" \\ 🦙', (), FORM) == after
    assert rewrite(after, NAME, ('a "ü" \\ 🦙',), FORM) == after


# --- and plainly ---


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"model":"small"}', '{"model":"NEW"}'),
        ('{"model" : "small" , "n":1}', '{"model" : "NEW" , "n":1}'),
        ('{"a":{"model":"no"},"model":"small"}', '{"a":{"model":"no"},"model":"NEW"}'),
        ('{"a":[{"model":"no"}],"b":"\\"model\\":\\"no\\""}', None),
        ('{"a":"model","b":"x"}', None),
        ('{"mod\\u0065l":"small"}', '{"mod\\u0065l":"NEW"}'),
        ('{"\\u006dodel":"small"}', '{"\\u006dodel":"NEW"}'),
        ('{"\\\\u006dodel":"no"}', None),
        ('{"model":"a","model":"b"}', '{"model":"NEW","model":"NEW"}'),
        ('{"model":"a\\"}"}', '{"model":"NEW"}'),
        ('{"model":""}', '{"model":"NEW"}'),
        ('{"model":null}', None),
        ('{"model":{"model":"no"}}', None),
        ('{"model":["no"]}', None),
        ('["model","no"]', None),
        ('"model"', None),
        ("", None),
        ("{}", None),
        ('{"model":"small"', None),
        ('{"model":"sma', None),
    ],
)
def test_what_becomes_of_a_body(before, after):
    expected = before if after is None else after

    assert rewrite(before.encode(), "NEW").decode() == expected


@pytest.mark.parametrize("old", ["food", "food-review2", "od-rev", "a\\nfood-review", ""])
def test_a_name_that_only_looks_like_an_adapter_is_rewritten(old):
    rewritten = rewrite(f'{{"model":"{old}"}}'.encode(), "NEW", ("food-review", "sql-lora"))

    assert rewritten == b'{"model":"NEW"}'


def test_two_adapters_in_one_string_are_no_adapter():
    body = b'{"model":"food-review\\nsql-lora"}'

    assert rewrite(body, "NEW", ("food-review", "sql-lora")) == b'{"model":"NEW"}'


def test_a_deep_and_a_long_body_are_read_to_the_end():
    decoys = b"[" * 50_000 + b"]" * 50_000 + b',"b":"' + b"x\\\\" * 500_000 + b'"'
    body = b'{"a":' + decoys + b',"model":"small"}'

    assert rewrite(body, "NEW") == b'{"a":' + decoys + b',"model":"NEW"}'


def test_without_a_context_the_body_is_not_even_read():
    assert run(b'{"model":"small"}', None) == Outcome()
    assert run(b'{"model":"small"}', {}) == Outcome()


def test_where_a_retry_may_take_the_body_as_it_came_no_length_is_told():
    context = context_for("NEW", other=(ir.Target("as-it-came", 1, "", ()),))

    rewritten = run(b'{"model":"small"}', context)
    unchanged = run(b'{"model":"NEW"}', context)

    assert (rewritten.body, rewritten.headers) == (b'{"model":"NEW"}', {"content-length": None})
    assert (unchanged.body, unchanged.headers) == (None, {})


def test_a_request_without_a_body_passes():
    assert run(None, context_for("NEW")) == Outcome(was_read=True)


@pytest.mark.parametrize(("names", "changes"), [(1000, True), (1001, False)])
def test_a_body_that_names_its_model_too_often_passes_as_it_came(names, changes):
    body = b"{%b}" % b",".join([b'"model":"small"'] * names)
    renamed = body.replace(b"small", NAME.encode())

    assert rewrite(body, NAME) == (renamed if changes else body)
