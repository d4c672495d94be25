"""What is at the places that a registry names is a key, or it is said why not."""

from __future__ import annotations

import hashlib

import pytest

from snapshots.material import Content, Source
from snapshots.registry.client_keys import digest_keys
from tests.support.registries import registry

KEY = b"sk-0123456789abcdef"
DIGEST = hashlib.sha256(KEY).hexdigest()
REGISTRY = registry(
    f"""
auth:
  clients:
    a: {{key_file: a}}
    b: {{key_env: B}}
    c: {{key_sha256: {DIGEST}}}
"""
)
FILE, VARIABLE = Source("file", "a"), Source("variable", "B")


def read(a: bytes, b: bytes):
    """Return digests and refusals where the file holds *a* and the variable *b*."""
    return digest_keys(REGISTRY, {FILE: Content(a), VARIABLE: Content(b)})


def test_a_key_may_end_in_a_line_feed():
    digests, refusals = read(a=b"first-0123456789abc\r\n", b=b"second-0123456789ab")

    assert not refusals
    assert digests == {
        "a": hashlib.sha256(b"first-0123456789abc").hexdigest(),
        "b": hashlib.sha256(b"second-0123456789ab").hexdigest(),
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the key is empty"),
        (b"\n\n", "the key is empty"),
        (b"short-key", "the key is shorter than 16 characters"),
        (b"k" * 257, "the key is longer than 256 characters"),
        (b"a key with spaces in it", "something else than letters, digits and signs"),
        (b"first-0123456789abc\nsecond-0123456789ab", "something else"),
        ("schlüssel-schlüssel".encode(), "something else"),
    ],
)
def test_what_is_no_key_is_refused_in_words_that_do_not_hold_it(content, message):
    digests, [refusal] = read(a=content, b=b"second-0123456789ab")

    assert refusal.path == ("auth", "clients", "a", "key_file")
    assert message in refusal.message
    assert "a" not in digests
    if content.strip():
        assert content.decode() not in f"{refusal.message} {refusal.hint}"


def test_two_clients_with_one_key_are_refused():
    _, refusals = read(a=b"first-0123456789abc", b=b"first-0123456789abc\n")
    _, with_digest = read(a=KEY, b=b"second-0123456789ab")

    assert [(r.path, r.message) for r in refusals] == [
        (("auth", "clients", "b", "key_env"), "client `a` has the same key")
    ]
    assert [(r.path, r.message) for r in with_digest] == [
        (("auth", "clients", "c", "key_sha256"), "client `a` has the same key")
    ]


def test_a_client_whose_key_is_not_known_has_no_digest():
    assert digest_keys(REGISTRY, {}) == ({}, [])
