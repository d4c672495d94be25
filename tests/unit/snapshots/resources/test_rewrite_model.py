"""The Lua script changes the value of the top-level `model`, and no other byte."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


def test_a_request_without_a_body_passes():
    assert run(None, context_for("NEW")) == Outcome(was_read=True)
