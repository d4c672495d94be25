"""What Envoys were told is read back as it was, or not at all."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.certificates import Authority
from tests.support.state import LOADED_AT, kept, stored_bytes
from xds_server.state.directory import SNAPSHOT, CannotUseStateError, StateDirectory
from xds_server.state.envelope import DamagedError
from xds_server.state.stored import SecretsChangedError

PLAIN = """\
version: 1
gateways:
  public: {listen: "127.0.0.1:1", node_cluster: edge, models: [small]}
  canary: {listen: "127.0.0.1:2", node_id: "canary-*", node_cluster: lab}
  zone: {listen: "127.0.0.1:3", node_cluster: zone, node_metadata: {zone: a}}
  all: {listen: "127.0.0.1:4", node_cluster: rest}
pools:
  blue: {endpoints: ["127.0.0.1:9001"], model: org/blue, adapters: ["модель/ü"]}
  green: {endpoints: ["127.0.0.1:9002"]}
models:
  small: {split: {blue: 70, green: 30}, aliases: [tiny], paths: [/v1/small]}
"""
INLINE_KEY = b"sk-inline-0123456789abcdef"
FILE_KEY = b"sk-file-0123456789abcdef"
CREDENTIAL = b"upstream-credential"
SECRET = f"""\
version: 1
gateways:
  default:
    tls: {{certificate: a.pem, key: a.key, client_ca: ca.pem}}
auth:
  clients:
    inline: {{key_sha256: {hashlib.sha256(INLINE_KEY).hexdigest()}}}
    by-file: {{key_file: client.key}}
  upstream:
    blue: {{value_file: credential}}
pools:
  blue: {{endpoints: ["127.0.0.1:9001"]}}
models:
  small: {{pool: blue}}
"""


@pytest.fixture
def registry(tmp_path):
    path = tmp_path / "registry.yaml"
    path.write_text(PLAIN)
    return path


@pytest.fixture
def secret_registry(tmp_path):
    authority = Authority()
    authority.write(tmp_path, "a", "a.test")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "client.key").write_bytes(FILE_KEY + b"\n")
    (tmp_path / "credential").write_bytes(CREDENTIAL)
    path = tmp_path / "registry.yaml"
    path.write_text(SECRET)
    return path


@pytest.fixture
def directory(tmp_path):
    state = StateDirectory(tmp_path / "state")
    with state.held():
        yield state


def read(directory, registry):
    return directory.read(registry, registry.read_bytes())


def origins(snapshot):
    return {
        (cluster, url, name): resource.origin
        for cluster, node in snapshot.nodes.items()
        for url, of_type in node.types.items()
        for name, resource in of_type.resources.items()
    }


def test_what_was_stored_is_read_back_whole(directory, registry):
    stored = kept(registry)
    directory.write(stored)

    restored = read(directory, registry)

    assert restored.snapshot == stored.snapshot
    assert origins(restored.snapshot) == origins(stored.snapshot)
    assert (restored.text, restored.models) == (PLAIN.encode(), 1)
    assert restored.loaded_at == LOADED_AT


def test_nothing_is_read_where_nothing_was_stored(directory, registry):
    assert read(directory, registry) is None


def test_the_newest_is_read_back(directory, registry):
    directory.write(kept(registry))
    newest = kept(registry, PLAIN.replace("70", "60").encode())
    directory.write(newest)

    assert read(directory, registry).snapshot == newest.snapshot


def test_the_state_of_another_registry_is_not_used(directory, registry, tmp_path):
    directory.write(kept(registry))
    other = tmp_path / "other.yaml"
    other.write_text(PLAIN)

    with pytest.raises(DamagedError, match=r"another registry, .*/registry\.yaml$"):
        read(directory, other)


def test_a_later_format_is_not_used_and_is_named(directory, registry):
    directory.write(kept(registry))
    path = directory.path / SNAPSHOT
    path.write_bytes(path.read_bytes().replace(b"snapshot 1\n", b"snapshot 2\n", 1))

    with pytest.raises(DamagedError, match="it has format 2, and this version reads format 1"):
        read(directory, registry)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A registry, a state directory, and what is stored there while it is whole."""
    folder = tmp_path_factory.mktemp("damaged")
    registry = folder / "registry.yaml"
    registry.write_text(PLAIN)
    directory = StateDirectory(folder / "state")
    with directory.held():
        directory.write(kept(registry))
        yield registry, directory, (directory.path / SNAPSHOT).read_bytes()


@settings(deadline=None, max_examples=150)
@given(where=st.floats(0, 1, exclude_max=True))
def test_what_was_cut_anywhere_is_not_used(damaged, where):
    registry, directory, whole = damaged
    (directory.path / SNAPSHOT).write_bytes(whole[: int(where * len(whole))])

    with pytest.raises(DamagedError):
        read(directory, registry)


@settings(deadline=None, max_examples=150)
@given(
    where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), more=st.binary(max_size=9)
)
def test_what_was_changed_anywhere_is_not_used(damaged, where, flip, more):
    registry, directory, whole = damaged
    changed = bytearray(whole)
    changed[int(where * len(whole))] ^= flip
    (directory.path / SNAPSHOT).write_bytes(bytes(changed) + more)

    with pytest.raises(DamagedError):
        read(directory, registry)


@settings(deadline=None, max_examples=50)
@given(more=st.binary(min_size=1, max_size=100))
def test_what_something_follows_is_not_used(damaged, more):
    registry, directory, whole = damaged
    (directory.path / SNAPSHOT).write_bytes(whole + more)

    with pytest.raises(DamagedError):
        read(directory, registry)


def test_no_secret_and_no_digest_of_a_key_is_stored(directory, secret_registry, tmp_path):
    stored = kept(secret_registry)
    directory.write(stored)
    directory.history.add(stored, 5)

    found = stored_bytes(directory.path)
    pem = [(tmp_path / name).read_bytes() for name in ("a.pem", "a.key", "ca.pem")]
    for secret in (CREDENTIAL, INLINE_KEY, FILE_KEY, *(content[40:100] for content in pem)):
        assert secret not in found
    for key in (INLINE_KEY, FILE_KEY):
        assert hashlib.sha256(key).hexdigest().encode() not in found
        assert hashlib.sha256(key).digest() not in found


def test_secrets_are_read_again_from_where_they_are(directory, secret_registry):
    stored = kept(secret_registry)
    directory.write(stored)

    restored = read(directory, secret_registry)

    assert restored.snapshot == stored.snapshot
    assert restored.text == SECRET.encode()


@pytest.mark.parametrize("name", ["a.pem", "a.key", "ca.pem", "client.key", "credential"])
def test_a_snapshot_whose_secrets_have_changed_is_not_used(
    directory, secret_registry, tmp_path, name
):
    directory.write(kept(secret_registry))
    (tmp_path / name).write_bytes(b"another-one-0123456789")

    with pytest.raises(SecretsChangedError):
        read(directory, secret_registry)


def test_a_snapshot_is_not_used_once_the_registry_lacks_a_digest_of_it(directory, secret_registry):
    directory.write(kept(secret_registry))

    with pytest.raises(SecretsChangedError):
        directory.read(secret_registry, PLAIN.encode())


def test_a_registry_that_is_broken_by_now_still_tells_its_digests(directory, secret_registry):
    stored = kept(secret_registry)
    directory.write(stored)

    assert directory.read(secret_registry, SECRET.encode() + b"}").snapshot == stored.snapshot


def test_only_one_may_hold_a_directory(directory):
    with (
        pytest.raises(CannotUseStateError, match="another `modelyard serve` uses it"),
        StateDirectory(directory.path).held(),
    ):
        pytest.fail("it was held twice")


def test_a_directory_can_be_held_again_and_is_for_its_owner_only(tmp_path):
    for _ in range(2):
        with StateDirectory(tmp_path / "state").held():
            pass

    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(CannotUseStateError, match=r"--state-dir .*file/state: Not a directory"),
        StateDirectory(tmp_path / "file" / "state").held(),
    ):
        pytest.fail("it was held")


def test_what_a_crash_left_half_written_is_removed(directory, registry):
    directory.history.add(kept(registry), 5)
    for folder in (directory.path, directory.path / "history"):
        (folder / ".left.tmp").write_bytes(b"left over")
    other = StateDirectory(directory.path)
    assert len(other.history.entries()) == 1

    (directory.path / "lock").unlink()  # as if that process had died
    with other.held():
        assert b"left over" not in stored_bytes(directory.path)
