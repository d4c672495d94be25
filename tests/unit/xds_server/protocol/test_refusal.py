"""Which resources the words of a refusal speak of."""

import pytest

from xds_server.protocol.refusal import named_in


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Error adding/updating cluster(s) pool/a: bad, pool/b: worse", {"pool/a", "pool/b"}),
        ("Error adding/updating cluster(s) pool/a-2: bad", {"pool/a-2"}),
        ("Error adding/updating cluster(s) pool/a-2: bad, pool/a: bad", {"pool/a", "pool/a-2"}),
        ("cluster 'pool/a' is bad.", {"pool/a"}),
        ("pool/ab is not among them", set()),
        ("Invalid duration: Expected positive duration", set()),
        ("", set()),
    ],
)
def test_names_are_whole_words_and_the_longest_that_fit(message, expected):
    assert named_in(message, ["pool/a", "pool/a-2", "pool/b"]) == expected


def test_names_of_any_characters_are_found():
    odd = ["model/Qwen/Qwen3-8B:free", "model/große Modelle (neu)", "model/a+b*[c]"]

    assert named_in("refused: " + ", ".join(odd), odd) == set(odd)


def test_an_empty_name_is_never_found():
    assert named_in("anything", [""]) == set()
