"""The tree of a YAML text: bounded while it is parsed, and with the place of every node."""

from __future__ import annotations

import pytest

from snapshots.registry.yaml_tree import (
    MAX_DEPTH,
    MAX_NODES,
    Mapping,
    Scalar,
    Sequence,
    YamlError,
    parse_yaml,
)


def refusal(text):
    with pytest.raises(YamlError) as refused:
        parse_yaml(text)
    return refused.value


def test_every_node_knows_its_place():
    root = parse_yaml(b"a: 1\nlist:\n  - x\n  - {y: z}\n")

    assert isinstance(root, Mapping)
    key, items = root.pairs[1]
    assert (key.line, key.column) == (2, 1)
    assert isinstance(items, Sequence)
    assert [(item.line, item.column) for item in items.items] == [(3, 5), (4, 5)]


def test_columns_count_characters_and_not_bytes():
    root = parse_yaml("{ä🦙: 1, b: 2}".encode())

    assert isinstance(root, Mapping)
    assert root.pairs[1][0].column == 9


def test_a_byte_order_mark_is_passed_over():
    root = parse_yaml(b"\xef\xbb\xbfa: 1")

    assert isinstance(root, Mapping)
    assert root.pairs[0][0].text == "a"


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *(("a", "str"), ("'1'", "str"), ('"no"', "str"), ("!!str 1", "str")),
        *(("|\n  1", "str"), ("1", "int"), ("1.5", "float"), ("no", "bool"), ("~", "null")),
        *(("", "null"), ("2024-01-01", "timestamp"), ("1:30", "int"), ("!!int 'a'", "int")),
    ],
)
def test_a_scalar_has_the_tag_of_yaml_1_1(text, tag):
    root = parse_yaml(f"key: {text}".encode())

    assert isinstance(root, Mapping)
    value = root.pairs[0][1]
    assert isinstance(value, Scalar)
    assert value.tag == f"tag:yaml.org,2002:{tag}"


def test_an_alias_is_the_node_of_its_anchor():
    root = parse_yaml(b"[&a {x: 1}, *a]")

    assert isinstance(root, Sequence)
    assert root.items[0] is root.items[1]


@pytest.mark.parametrize(
    "text",
    [
        *(b"[" * 10_000, b"[" * 10_000 + b"]" * 10_000, b"{a: " * 10_000, b"- " * 10_000 + b"x"),
        *(b"? " * 10_000, b"\n".join(b" " * depth + b"a:" for depth in range(2_000))),
        b"[" * 1_000_000,
    ],
    ids=["open", "closed", "mappings", "dashes", "keys", "indented", "a-million"],
)
def test_deep_nesting_is_refused_before_it_costs_anything(text):
    error = refusal(text)

    assert error.message == f"nested deeper than {MAX_DEPTH} levels"


def test_nesting_by_aliases_counts_as_nesting():
    steps = [b"- &a0 [x]"] + [b"- &a%d [*a%d]" % (n, n - 1) for n in range(1, 100)]

    assert refusal(b"\n".join(steps)).message == f"nested deeper than {MAX_DEPTH} levels"


def test_an_alias_bomb_is_refused_by_its_unfolded_size():
    steps = [b"- &a0 [x, x]"] + [
        b"- &a%d [%s]" % (n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 20)
    ]

    assert refusal(b"\n".join(steps)).message == f"more than {MAX_NODES} entries"


@pytest.mark.parametrize("text", [b"&a [*a]", b"&a {x: [*a]}", b"x: &a {*a : 1}"])
def test_an_alias_inside_its_own_anchor_is_refused(text):
    assert refusal(text).message == "the alias `*a` stands for an entry that holds it"


def test_an_anchor_may_be_given_again():
    root = parse_yaml(b"[&a 1, *a, &a 2, *a]")

    assert isinstance(root, Sequence)
    assert [item.text for item in root.items if isinstance(item, Scalar)] == ["1", "1", "2", "2"]


@pytest.mark.parametrize("text", [b"", b"# only a comment\n", b"---"])
def test_a_text_without_content_has_no_mapping(text):
    assert not isinstance(parse_yaml(text), Mapping)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        *((b"a: [1\n", 2, 1), (b"a: b: c", 1, 5), (b"a\0b", 1, 2), (b"a: 1\n\tb: 2", 2, 1)),
        *((b"\xff", 1, 1), (b"a: \xc3", 1, 4), ("ä: \x01".encode(), 1, 4), (b"%", 1, 2)),
        *((b"'", 1, 2), (b"*a", 1, 1), (b"!<", 1, 3), (b"--- 1\n--- 2", 2, 1)),
    ],
)
def test_a_text_that_is_not_one_yaml_document_is_refused_at_its_place(text, line, column):
    error = refusal(text)

    assert (error.line, error.column) == (line, column)
