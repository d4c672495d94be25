"""How problems are worded and listed."""

from __future__ import annotations

import pytest

from snapshots.registry.problems import (
    COMPARISON_BUDGET,
    Problem,
    RegistryError,
    Suggestions,
    code,
    place_of,
)


def problem(line, column=1, message="wrong", **fields):
    return Problem("r.yaml", line, column, "", message, **fields)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), ""),
        (("models", "auto", "split", "llama-9b"), "models.auto.split.llama-9b"),
        (("pools", "a", "endpoints", 0, "weight"), "pools.a.endpoints.0.weight"),
        (("models", "meta/llama-3.1:free"), "models.meta/llama-3.1:free"),
        (("models", ""), 'models.""'),
        (("models", " a"), 'models." a"'),
        (("models", "a\nb"), "models.a\\nb"),
    ],
)
def test_a_place_is_read_from_the_outside_in(path, place):
    assert place_of(path) == place


def test_a_piece_of_the_file_is_cut_and_stays_on_its_line():
    assert code("a\u2028b\x1b") == "`a\\u2028b\\x1b`"
    assert code("x" * 500) == f"`{'x' * 79}…`"


def test_problems_come_in_the_order_of_the_file():
    error = RegistryError([problem(10), problem(2, 5), problem(2, 1, "b"), problem(2, 1, "a")])

    assert [(p.line, p.column, p.message) for p in error.problems] == [
        (2, 1, "a"),
        (2, 1, "b"),
        (2, 5, "wrong"),
        (10, 1, "wrong"),
    ]


def test_an_endless_list_is_cut_in_the_text_and_whole_in_the_problems():
    error = RegistryError(map(problem, range(1, 1503)))

    assert len(error.problems) == 1502
    assert len(str(error).splitlines()) == 1001
    assert str(error).endswith("\nr.yaml: and 502 more problems")


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("lama-1b", "llama-1b"), ("LLAMA-1B", "llama-1b"), ("qwen", ""), ("", ""), ("x" * 300, "")],
)
def test_the_nearest_name_is_found_whatever_its_case(word, nearest):
    assert Suggestions().nearest(word, ["llama-1b", "llama-70b", "mistral"]) == nearest


def test_suggestions_end_when_the_budget_is_spent():
    suggestions = Suggestions()
    known = [f"name-{n:06}" for n in range(COMPARISON_BUDGET // 100)]

    assert suggestions.hint("name-000001", known[:5]) == "did you mean `name-000001`?"
    assert suggestions.hint("nane-000001", known, "otherwise") == "otherwise"
    assert suggestions.hint("name-000001", known[:5], "otherwise") == "otherwise"
