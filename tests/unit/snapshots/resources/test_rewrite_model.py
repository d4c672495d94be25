"""The Lua script changes the value of the top-level `model`, and no other byte."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.rewrite_script import context_for, rewrite, run

NAME = "meta-llama/Llama-3.2-1B-Instruct"
ADAPTERS = ("food-review", "sql-lora", "ü/ß", "🦙", 'say "a\\b"')


# --- JSON texts, as many ways as there are to write them ---

WHITE_SPACE = st.text(" \t\r\n", max_size=3)
CHARACTERS = st.characters(exclude_categories=("Cs",))
SOME_TEXT = st.text(CHARACTERS, max_size=8)
DECOYS = st.sampled_from(["model", "Model", "models", "odel", '"model":', "\\", "messages"])


def ways_to_write(character: str) -> st.SearchStrategy[str]:
    """Draw one of the ways in which a JSON string may hold *character*."""
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    units = character.encode("utf-16-be").hex()
    escaped = "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    ways = [plain, escaped, escaped.upper().replace("\\U", "\\u")]
    return st.sampled_from([*ways, "\\/"] if character == "/" else ways)


@st.composite
def strings(draw, texts=DECOYS | SOME_TEXT):
    return '"' + "".join(draw(ways_to_write(character)) for character in draw(texts)) + '"'


@st.composite
def members(draw, keys, values):
    return f"{draw(keys)}{draw(WHITE_SPACE)}:{draw(WHITE_SPACE)}{draw(values)}"


@st.composite
def containers(draw, values):
    is_array = draw(st.booleans())
    items = draw(st.lists(values if is_array else members(strings(), values), max_size=3))
    inside = ",".join(f"{draw(WHITE_SPACE)}{item}{draw(WHITE_SPACE)}" for item in items)
    return f"[{inside}]" if is_array else f"{{{inside}}}"


SCALARS = st.sampled_from(["null", "true", "-1.5e3", "0"]) | strings()
VALUES = st.recursive(SCALARS, containers, max_leaves=6)
OTHER_KEYS = strings().filter(lambda key: json.loads(key) != "model")


@dataclass(frozen=True)
class Member:
    """One member of the outermost object, and what is to become of it."""

    before: str
    after: str


@st.composite
def model_members(draw):
    key = draw(strings(st.just("model"))) + draw(WHITE_SPACE) + ":" + draw(WHITE_SPACE)
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
        written([getattr(member, side) for member in drawn], spaces) for side in ("before", "after")
    )


def written(items: list[str], spaces: list[str]) -> str:
    between = zip(spaces[::2], items, spaces[1::2], strict=False)
    inside = ",".join(f"{left}{item}{right}" for left, item, right in between)
    return f"{spaces[-2]}{{{inside}}}{spaces[-1]}"


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
    assert run(b'{"model":"small"}', None) == (None, None, False)
    assert run(b'{"model":"small"}', {}) == (None, None, False)


def test_a_request_without_a_body_passes():
    assert run(None, context_for("NEW")) == (None, None, True)
