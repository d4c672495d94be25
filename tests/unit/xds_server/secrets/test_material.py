"""What is read and judged before it is served, and in which words it is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from snapshots.registry.loader import RegistryError, load_registry
from tests.support.certificates import Authority, replace
from xds_server.secrets.material import MaterialReader

TEXT = b"""\
version: 1
gateways:
  default:
    tls: {certificate: a.pem, key: a.key, client_ca: ca.pem}
"""


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def folder(tmp_path, authority):
    authority.write(tmp_path, "a", "a.test")
    replace(tmp_path / "ca.pem", authority.pem)
    return tmp_path


@pytest.fixture
def read(folder):
    reader = MaterialReader(folder / "registry.yaml", {})
    return lambda: reader.read(load_registry(TEXT, "registry.yaml"), TEXT)


def refusal(read):
    with pytest.raises(RegistryError) as refused:
        read()
    return str(refused.value)


def test_all_that_is_mentioned_is_read(read, folder):
    contents = {source.name: content.value for source, content in read().items()}

    assert contents == {n: (folder / n).read_bytes() for n in ("a.pem", "a.key", "ca.pem")}


def test_no_content_is_shown_by_accident(read):
    assert "PRIVATE" not in repr(read())


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.pem", b"", "gateways.default.tls.certificate: the file a.pem: is empty"),
        ("a.pem", b"rubbish", "certificate: the file a.pem: holds no certificate in PEM"),
        ("a.key", b"rubbish", "key: the file a.key: holds no private key in PEM"),
        ("ca.pem", b" \n", "client_ca: the file ca.pem: is empty"),
    ],
)
def test_what_is_not_what_it_should_be_is_refused_with_its_place(
    read, folder, file, content, words
):
    replace(folder / file, content)

    said = refusal(read)

    assert said.startswith(f"{folder}/registry.yaml:4:")
    assert words in said


def test_files_that_were_mixed_up_are_told(read, folder):
    certificate, key = (folder / "a.pem").read_bytes(), (folder / "a.key").read_bytes()
    replace(folder / "a.pem", key)
    replace(folder / "a.key", certificate)

    said = refusal(read).splitlines()

    assert len(said) == 2
    assert all("are the two files mixed up?" in line for line in said)


def test_a_key_of_another_certificate_is_refused(read, folder, authority):
    replace(folder / "a.key", authority.issue("a.test")[1])

    assert "is not the key of the certificate in `certificate`" in refusal(read)


def test_a_key_is_looked_for_down_the_chain(read, folder, authority):
    replace(folder / "a.pem", authority.pem + (folder / "a.pem").read_bytes())

    assert "is the key of a certificate further down" in refusal(read)


def test_missing_files_are_told_all_at_once(read, folder):
    (folder / "a.pem").unlink()
    (folder / "ca.pem").unlink()

    said = refusal(read).splitlines()

    assert [line.partition(" does not exist")[1] for line in said] == [" does not exist"] * 2


def test_an_expired_certificate_is_refused_with_its_date(read, folder, authority):
    authority.write(folder, "a", "a.test", lasts=timedelta(hours=-1))

    said = refusal(read)

    assert "the certificate of CN=a.test expired at 20" in said
    assert "PRIVATE" not in said


def test_authorities_may_be_a_bundle_with_old_ones(read, folder, authority):
    old, _ = authority.issue("old", lasts=timedelta(hours=-1))
    replace(folder / "ca.pem", old + authority.pem)

    assert read()


SHOWN = b"""\
version: 1
pools: {a: {endpoints: []}}
auth:
  upstream:
    a: {value_file: shown}
"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"one\ntwo", "has more than one line"),
        ("schlüssel".encode(), "is not ASCII text"),
        (b"k" * 8193, "is longer than 8192 characters"),
        (None, "does not exist"),
    ],
)
def test_what_can_be_no_header_is_refused_in_words_that_do_not_hold_it(tmp_path, content, words):
    if content is not None:
        (tmp_path / "shown").write_bytes(content)
    reader = MaterialReader(tmp_path / "registry.yaml", {})

    said = refusal(lambda: reader.read(load_registry(SHOWN, "registry.yaml"), SHOWN))

    assert ":5:9: auth.upstream.a.value_file: " in said
    assert words in said
    if content and content.strip():
        assert content.decode() not in said


def test_a_variable_holds_what_is_shown_too(tmp_path):
    text = SHOWN.replace(b"value_file: shown", b"value_env: SHOWN")
    registry = load_registry(text, "registry.yaml")

    material = MaterialReader(tmp_path / "r.yaml", {"SHOWN": "x"}).read(registry, text)
    said = refusal(lambda: MaterialReader(tmp_path / "r.yaml", {}).read(registry, text))

    assert [content.value for content in material.values()] == [b"x"]
    assert "auth.upstream.a.value_env: the environment variable SHOWN is not set" in said


TWO = b"""\
version: 1
pools: {a: {endpoints: []}, b: {endpoints: []}}
auth:
  clients:
    c: {key_file: key}
  upstream:
    a: {value_file: one}
    b: {value_file: two}
"""


@pytest.fixture
def two(tmp_path):
    """Return a reader that has read three good files, and what reads again."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"{name}, first")
    (tmp_path / "key").write_text("0123456789abcdef")
    reader = MaterialReader(tmp_path / "registry.yaml", {})

    def read(text=TWO):
        material = reader.read(load_registry(text, "registry.yaml"), text)
        return {source.name: content.value for source, content in material.items()}

    read()
    return reader, read


def test_what_is_bad_keeps_what_it_had_and_what_is_good_is_taken(two, tmp_path):
    reader, read = two
    (tmp_path / "one").write_text("one, second")
    (tmp_path / "two").write_text("")
    (tmp_path / "key").write_text("short")

    contents = read()
    told = str(reader.kept).splitlines()
    (tmp_path / "two").write_text("two, second")
    (tmp_path / "key").write_text("fedcba9876543210")
    mended = read()

    assert contents == {"one": b"one, second", "two": b"two, first", "key": b"0123456789abcdef"}
    assert [line.split(": ")[1] for line in told] == [
        "auth.clients.c.key_file",
        "auth.upstream.b.value_file",
    ]
    assert (mended["two"], mended["key"]) == (b"two, second", b"fedcba9876543210")
    assert reader.kept is None


def test_a_bad_secret_does_not_keep_an_edit_from_being_served(two, tmp_path):
    reader, read = two
    (tmp_path / "two").unlink()

    assert read(TWO + b"extraction: {mode: native}\n")["two"] == b"two, first"
    assert "two does not exist" in str(reader.kept)


def test_an_entry_that_had_nothing_good_is_refused_with_all_that_is_wrong(two, tmp_path):
    _, read = two
    (tmp_path / "one").write_text("")

    said = refusal(lambda: read(TWO.replace(b"file: two", b"file: three")))

    assert "auth.upstream.a.value_file" in said
    assert "auth.upstream.b.value_file" in said


def test_a_key_that_does_not_fit_keeps_its_certificate_too(read, folder, authority):
    before = {source.name: content.value for source, content in read().items()}
    certificate, _ = authority.issue("a.test")
    replace(folder / "a.pem", certificate)

    after = {source.name: content.value for source, content in read().items()}

    assert after == before
