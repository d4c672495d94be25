"""Which registries are kept, and how they come back."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.state import LOADED_AT, kept
from xds_server.state.history import Damaged, History

TEXT = """\
version: 1
pools:
  blue: {endpoints: ["127.0.0.1:9001"]}
models:
  small: {pool: blue, timeout: 1s}
"""
OLD_DIGEST = hashlib.sha256(b"old").hexdigest()
NEW_DIGEST = hashlib.sha256(b"new").hexdigest()
WITH_KEY = TEXT + f"auth: {{clients: {{team-a: {{key_sha256: {OLD_DIGEST}}}}}}}\n"


@pytest.fixture
def registry(tmp_path):
    return tmp_path / "registry.yaml"


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def edited(number):
    return TEXT.replace("1s", f"{number}s").encode()


def test_a_directory_without_history_has_none(history):
    assert history.entries() == []


def test_an_entry_tells_revision_time_size_and_file(history, registry):
    moment = kept(registry, edited(1))
    history.add(moment, 3)

    (entry,) = history.entries()
    assert (entry.revision, entry.loaded_at) == (moment.revision, LOADED_AT)
    assert (entry.models, entry.registry) == (1, str(registry))
    assert history.text_of(entry, b"", {}) == edited(1)


def test_the_last_ones_are_kept_oldest_first(history, registry):
    for number in range(1, 7):
        history.add(kept(registry, edited(number)), 3)

    texts = [history.text_of(entry, b"", {}) for entry in history.entries()]
    assert texts == [edited(4), edited(5), edited(6)]


def test_one_that_comes_back_later_is_kept_again(history, registry):
    for number in (1, 2, 1):
        history.add(kept(registry, edited(number)), 9)

    assert [entry.number for entry in history.entries()] == [1, 2, 3]


def test_an_edit_of_comments_takes_the_place_of_the_last(history, registry):
    for text in (edited(1), edited(2), edited(2) + b"# why\n", edited(2) + b"# why\n"):
        history.add(kept(registry, text), 9)

    texts = [history.text_of(entry, b"", {}) for entry in history.entries()]
    assert texts == [edited(1), edited(2) + b"# why\n"]


def test_a_damaged_entry_is_told_and_the_others_stay(history, registry):
    for number in (1, 2):
        history.add(kept(registry, edited(number)), 9)
    path = history.entries()[0].path
    path.write_bytes(path.read_bytes()[:-1])

    damaged, good = history.entries()
    assert damaged == Damaged(path, "it is cut short, or something follows it")
    assert good.number == 2


def test_a_digest_comes_back_if_the_registry_still_holds_it(history, registry):
    history.add(kept(registry, WITH_KEY.encode()), 9)
    (entry,) = history.entries()

    assert OLD_DIGEST.encode() not in entry.path.read_bytes()
    assert history.text_of(entry, WITH_KEY.encode(), {}) == WITH_KEY.encode()


def test_a_client_with_a_new_key_keeps_that(history, registry):
    history.add(kept(registry, WITH_KEY.encode()), 9)
    (entry,) = history.entries()

    text = history.text_of(entry, b"", {"team-a": NEW_DIGEST.encode()})
    assert text == WITH_KEY.replace(OLD_DIGEST, NEW_DIGEST).encode()


def test_a_client_that_is_no_longer_known_is_named(history, registry):
    history.add(kept(registry, WITH_KEY.encode()), 9)
    (entry,) = history.entries()

    with pytest.raises(KeyError, match="team-a"):
        history.text_of(entry, TEXT.encode(), {})


def test_a_digest_in_a_comment_is_not_kept(history, registry):
    history.add(kept(registry, f"{TEXT}# was {OLD_DIGEST}\n".encode()), 9)
    (entry,) = history.entries()

    assert history.text_of(entry, b"", {}) == f"{TEXT}# was {'0' * 64}\n".encode()
