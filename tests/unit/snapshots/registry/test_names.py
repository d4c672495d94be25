"""Which names a registry may hold."""

from __future__ import annotations

import re

import pytest

from snapshots.registry.names import NAME_PATTERN, check_name
from snapshots.registry.problems import ValueRefusedError


@pytest.mark.parametrize(
    "name",
    [
        *("a", "--", "*", "8", "null", "meta-llama/Llama-3.2-1B:free", 'a "b" {c}', "a  b", "%41"),
        *("ä", "模型", "🦙", "👩‍🚀", "a\u2028b", "a" * 256, "ä" * 128),
    ],
)
def test_any_character_of_a_header_value_may_be_in_a_name(name):
    assert check_name(name) == name
    assert re.search(NAME_PATTERN, name, re.DOTALL)


@pytest.mark.parametrize("name", ["", " ", "-", " a", "a ", "a\n", "\ta", "\u00a0a", "\u3000"])
def test_a_name_must_be_more_than_blank_and_a_dash(name):
    with pytest.raises(ValueRefusedError):
        check_name(name)

    assert not re.search(NAME_PATTERN.replace("$", r"\Z"), name)


@pytest.mark.parametrize("character", ["\0", "\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\ud800"])
def test_a_name_must_not_hold_control_characters(character):
    with pytest.raises(ValueRefusedError, match="control character"):
        check_name(f"a{character}b")


@pytest.mark.parametrize("name", ["a" * 257, "ä" * 129, "🦙" * 65])
def test_a_name_has_at_most_256_bytes(name):
    with pytest.raises(ValueRefusedError, match=r"at most 256 bytes in UTF-8, this one has 2"):
        check_name(name)
