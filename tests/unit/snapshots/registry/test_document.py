"""The plain data of a file, and where each entry stands."""

from __future__ import annotations

import pytest

from snapshots.registry.document import Document, Unquoted
from snapshots.registry.yaml_tree import YamlError


def data(text):
    document = Document(text)
    assert not document.refusals
    return document.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((b"a", "a"), (b"'8'", "8"), (b"8", 8), (b"-8", -8), (b"+8", 8), (b"0", 0), (b"=", "=")),
        *((b"true", True), (b"Off", False), (b"[a, 1]", ["a", 1]), (b"{a: {}}", {"a": {}})),
        *((b"", Unquoted("", "null")), (b"~", Unquoted("~", "null")), (b"!!str", "")),
        *((b"1.10", Unquoted("1.10", "number")), (b"010", Unquoted("010", "number"))),
        *((b"0x10", Unquoted("0x10", "number")), (b"1_000", Unquoted("1_000", "number"))),
        *((b".inf", Unquoted(".inf", "number")), (b"1:30", Unquoted("1:30", "number"))),
        *((b"9" * 5000, Unquoted("9" * 5000, "number")), (b"!!int x", Unquoted("x", "number"))),
        *((b"2024-01-01", Unquoted("2024-01-01", "date")), (b"!!bool x", Unquoted("x", "boolean"))),
    ],
)
def test_a_value_is_what_a_field_can_hold_or_stays_as_it_was_written(text, value):
    assert data(b"key: " + text) == {"key": value}


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        (b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"x": 1, "y": 3}),
        (b"a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", {"x": 1, "y": 3}),
        (b"a: [&a {x: 1}, &b {x: 2, y: 2}]\nb: {<<: [*a, *b]}", {"x": 1, "y": 2}),
        (b"a: [&a {x: 1}, &b {<<: *a, y: 2}]\nb: {<<: *b}", {"x": 1, "y": 2}),
        (b"a: 0\nb: {'<<': 1}", {"<<": 1}),
    ],
)
def test_merge_keys_merge(text, merged):
    assert data(text)["b"] == merged


@pytest.mark.parametrize(
    ("text", "path", "position"),
    [
        (b"a: 1\nb: {c: 1, c: 2}", ("b", "c"), (2, 11)),
        (b"a: 1\na: 2", ("a",), (2, 1)),
        (b"a: [{b: 1,\n b: 1}]", ("a", 0, "b"), (2, 2)),
        (b"a: &a {x: 1}\n'b': {<<: *a, <<: *a}", ("b", "<<"), (2, 15)),
        (b"1: a\n'1': b", ("1",), (2, 1)),
    ],
)
def test_a_key_that_comes_twice_is_refused_at_any_depth(text, path, position):
    refusal = Document(text).refusals[-1]

    assert "this key comes twice" in refusal.message
    assert (refusal.path, refusal.position) == (path, position)


@pytest.mark.parametrize(
    "text",
    [b"8: a", b"no: a", b"~: a", b"?\n: a", b"2024-01-01: a", b"[a]: b", b"{a: b}: c", b"<<: [1]"],
)
def test_a_key_that_is_not_text_is_refused(text):
    assert len(Document(text).refusals) == 1


@pytest.mark.parametrize("text", [b"a: !!binary aGk=", b"a: !x y", b"a: [!!set x]"])
def test_a_scalar_with_another_tag_is_refused(text):
    assert len(Document(text).refusals) == 1


@pytest.mark.parametrize("text", [b"a: !!set {x}", b"a: !!python/object:os.system {}", b"!x []"])
def test_a_collection_with_another_tag_is_refused(text):
    with pytest.raises(YamlError, match=r"the tag `!.*` is not accepted"):
        Document(text)


TEXT = b"""\
version: 1
models:
  a: &a {pool: p}
  b: {<<: *a, aliases: [x,
    y]}
"""


@pytest.mark.parametrize(
    ("path", "position"),
    [
        ((), (1, 1)),
        (("version",), (1, 1)),
        (("models", "a"), (3, 3)),
        (("models", "a", "pool"), (3, 10)),
        (("models", "b", "pool"), (3, 10)),
        (("models", "b", "aliases", 1), (5, 5)),
        (("models", "b", "aliases", 2), (4, 15)),
        (("models", "c", "pool"), (2, 1)),
        (("version", "x"), (1, 1)),
        (("models", 0), (2, 1)),
        (("nothing",), (1, 1)),
    ],
)
def test_a_path_leads_to_its_key_or_to_what_is_nearest(path, position):
    assert Document(TEXT).position(path) == position


def test_a_path_is_cut_where_the_file_ends_it():
    document = Document(TEXT)

    assert document.existing(("models", "b", "aliases", 1, "x")) == ("models", "b", "aliases", 1)
    assert document.existing(("models", "b", "pool")) == ("models", "b", "pool")
    assert document.existing(("models", "c")) == ("models",)


def test_a_scalar_is_given_back_as_written():
    document = Document(b"a: 1.10\nb: 'no'\nc: []")

    assert [document.written((key,)) for key in "abc"] == ["1.10", "no", ""]
