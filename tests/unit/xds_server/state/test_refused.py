"""What Envoys have refused is read back as it was, or not at all."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshots.material import Source
from snapshots.snapshot import Resource
from snapshots.type_urls import CLUSTER, LISTENER, PUSH_ORDER, ROUTE, SECRET
from tests.support.snapshots import cluster, endpoints, resource, secret
from tests.support.state import stored_bytes
from xds_server.protocol.fallback import refusal_key
from xds_server.protocol.quarantine import Quarantined
from xds_server.refusals import KeptRefusals, RefusedContent, Words
from xds_server.state import refused
from xds_server.state.cuts import Confidential
from xds_server.state.directory import REFUSALS, StateDirectory
from xds_server.state.envelope import DamagedError

NOTHING = KeptRefusals()
BAD = cluster("p", "bad", origin=("pools", "p"))
WORDS = Words("envoy-1", "1.40.0", "p: no good", "2026-01-02T03:04:05.678Z")
KEPT = KeptRefusals(
    (RefusedContent(refusal_key(BAD), BAD.origin, "r.yaml:3:3 (pools.p)", {"envoy-1": WORDS}),),
    Quarantined(
        {refusal_key(BAD): frozenset({"1.40.0", "1.39.2"})},
        {"edge": (cluster("p", "1", origin=("pools", "p")), cluster("p", "2"), endpoints("p"))},
    ),
)
KEY = b"sk-a-client-0123456789abcdef"
DIGEST = hashlib.sha256(KEY).hexdigest().encode()


@pytest.fixture
def directory(tmp_path):
    state = StateDirectory(tmp_path / "state")
    with state.held():
        yield state


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\n")
    return path


def origins(kept):
    return [r.origin for rs in kept.quarantined.accepted.values() for r in rs]


def test_what_was_stored_is_read_back(directory, registry):
    directory.write_refusals(KEPT, registry, Confidential())

    kept, _ = directory.read_refusals(registry, b"")

    assert kept == KEPT
    assert origins(kept) == origins(KEPT)


def test_nothing_is_read_where_nothing_was_stored(directory, registry):
    assert directory.read_refusals(registry, b"") == (NOTHING, ())


texts = st.text(max_size=20)
resources = st.builds(
    resource,
    st.sampled_from([url for url in PUSH_ORDER if url != SECRET]),
    texts,
    st.binary(max_size=100) | st.just(b"in " + DIGEST + b" between"),
    st.lists(texts, max_size=3).map(tuple),
)
words = st.builds(Words, texts, texts, texts, texts)
contents = st.builds(
    lambda one, place, said: RefusedContent(
        refusal_key(one), one.origin, place, {each.node_id: each for each in said}
    ),
    resources,
    texts,
    st.lists(words, max_size=3),
)
kept_refusals = st.builds(
    lambda some, versions, more, accepted: KeptRefusals(
        tuple(some),
        Quarantined(
            {c.key: versions for c in some} | {refusal_key(r): frozenset() for r in more}, accepted
        ),
    ),
    st.lists(contents, max_size=4, unique_by=lambda content: content.key),
    st.frozensets(texts, max_size=3),
    st.lists(resources, max_size=3),
    st.dictionaries(texts, st.lists(resources, min_size=1, max_size=4).map(tuple), max_size=3),
)


@settings(max_examples=60)
@given(kept_refusals)
def test_anything_that_can_be_kept_is_read_back(tmp_path_factory, kept):
    folder = tmp_path_factory.mktemp("state")
    directory, registry = StateDirectory(folder), folder / "registry.yaml"

    directory.write_refusals(kept, registry, Confidential())

    assert directory.read_refusals(registry, DIGEST)[0] == kept


@settings(max_examples=60)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_damage_is_told(tmp_path_factory, share, change):
    folder = tmp_path_factory.mktemp("state")
    directory, registry = StateDirectory(folder), folder / "registry.yaml"
    directory.write_refusals(KEPT, registry, Confidential())
    path = folder / REFUSALS
    whole = path.read_bytes()
    at = int(share * len(whole))
    flipped = whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]

    for damaged in (whole[:at], flipped, whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            directory.read_refusals(registry, b"")


def test_those_of_another_registry_are_not_used(directory, registry, tmp_path):
    directory.write_refusals(KEPT, registry, Confidential())

    with pytest.raises(DamagedError, match=r"another registry, .*/registry\.yaml$"):
        directory.read_refusals(tmp_path / "other.yaml", b"")


def listener_with_key() -> Resource:
    return resource(LISTENER, "l", b"allowed: " + DIGEST + b"\n")


def keeping(*accepted: Resource) -> KeptRefusals:
    return KeptRefusals((), Quarantined({}, {"edge": accepted}))


@pytest.mark.parametrize(
    "bearer", [listener_with_key(), resource(ROUTE, "no-model", b"x" + DIGEST)]
)
def test_no_digest_of_a_key_is_stored_and_one_that_the_file_has_comes_back(
    directory, registry, bearer
):
    directory.write_refusals(keeping(bearer), registry, Confidential(digests=frozenset({DIGEST})))

    assert DIGEST not in stored_bytes(directory.path)
    assert directory.read_refusals(registry, DIGEST)[0] == keeping(bearer)


def test_a_digest_comes_back_from_a_file_that_holds_the_key(directory, registry, tmp_path):
    (tmp_path / "client.key").write_bytes(KEY + b"\n")
    source = Source("file", "client.key")
    confidential = Confidential(key_sources=(source,), digests=frozenset({DIGEST}))
    directory.write_refusals(keeping(listener_with_key()), registry, confidential)

    kept, sources = directory.read_refusals(registry, b"")

    assert kept == keeping(listener_with_key())
    assert sources == (source,)


def test_what_holds_a_key_that_was_taken_away_is_not_brought_back(directory, registry):
    directory.write_refusals(keeping(listener_with_key(), cluster("p")), registry, Confidential())

    assert directory.read_refusals(registry, b"")[0] == keeping(cluster("p"))


def test_what_would_show_a_digest_is_left_out(directory, registry):
    shown = resource(LISTENER, "l", DIGEST.upper())
    hidden = Confidential(digests=frozenset({DIGEST}))
    directory.write_refusals(keeping(shown, cluster("p")), registry, hidden)

    assert directory.read_refusals(registry, b"")[0] == keeping(cluster("p"))


def test_no_secret_is_stored(directory, registry):
    directory.write_refusals(keeping(secret("s", "quiet"), cluster("p")), registry, Confidential())

    assert b"quiet" not in stored_bytes(directory.path)
    assert directory.read_refusals(registry, b"")[0] == keeping(cluster("p"))


def test_what_is_stored_is_bounded(directory, registry, monkeypatch):
    monkeypatch.setattr(refused, "MAX_REFUSED", 3)
    monkeypatch.setattr(refused, "MAX_BYTES", 100)
    keys = [refusal_key(cluster("p", str(n))) for n in range(5)]
    large = resource(CLUSTER, "large", b"x" * 99)
    kept = KeptRefusals(
        (), Quarantined(dict.fromkeys(keys, frozenset()), {"edge": (large, cluster("p"))})
    )
    directory.write_refusals(kept, registry, Confidential())

    read, _ = directory.read_refusals(registry, b"")

    assert list(read.quarantined.refused) == keys[2:]
    assert read.quarantined.accepted == {"edge": (large,)}


def test_it_is_for_its_owner_only(directory, registry):
    directory.write_refusals(KEPT, registry, Confidential())

    assert (directory.path / REFUSALS).stat().st_mode & 0o777 == 0o600
