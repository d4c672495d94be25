from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from snapshots.registry.client_keys import digest_keys
from snapshots.registry.loader import load_registry
from snapshots.registry.mentions import mentions
from snapshots.registry.public_form import SECRET_FIELDS, public_form, stand_ins
from snapshots.registry.schema import Registry

CASES = Path(__file__).parents[3] / "golden" / "cases"
GOOD = sorted(p for p in CASES.glob("*/registry.yaml") if not (p.parent / "error.txt").exists())
DIGEST = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
TELL_WHERE_A_SECRET_IS = {"key_file", "key_env", "value_file", "value_env", "key", "certificate"}


def with_client(fields: str) -> Registry:
    return load_registry(
        f"version: 1\nauth: {{clients: {{team: {{{fields}}}}}}}\n".encode(), "registry.yaml"
    )


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.parent.name)
def test_what_is_shown_is_a_registry_that_means_the_same_but_for_secrets(path):
    registry = load_registry(path.read_bytes(), str(path))

    shown = public_form(registry)

    read = load_registry(json.dumps(shown).encode(), "shown")
    assert public_form(read) == shown
    assert read.models == registry.models
    assert read.pools == registry.pools
    assert read.gateways == registry.gateways
    if not any(client.key_sha256 for client in (registry.auth.clients or {}).values()):
        assert read == registry


def test_a_digest_of_a_key_is_not_shown():
    shown = public_form(with_client(f"key_sha256: {DIGEST}"))

    assert DIGEST not in json.dumps(shown)


def test_what_is_shown_instead_depends_on_the_client_alone():
    other = DIGEST.replace("2", "3")

    assert public_form(with_client(f"key_sha256: {DIGEST}")) == public_form(
        with_client(f"key_sha256: {other}")
    )


def test_where_a_secret_is_kept_is_shown():
    assert public_form(with_client("key_file: keys/team"))["auth"]["clients"]["team"] == {
        "key_file": "keys/team"
    }


def test_every_field_that_sounds_like_a_secret_is_hidden_or_tells_a_place():
    """A new field of that kind has to be judged, and put into one of the two sets."""
    schema = Registry.model_json_schema()
    fields = {field for part in schema["$defs"].values() for field in part.get("properties", {})}
    sounds = re.compile("key|secret|token|password|value|credential|certificate|sha")

    assert {field for field in fields if sounds.search(field)} - {
        "require_client_certificate"
    } == SECRET_FIELDS | TELL_WHERE_A_SECRET_IS


def test_stand_ins_are_there_for_all_that_a_registry_refers_to():
    registry = with_client("key_file: keys/team")

    material = stand_ins(registry)

    assert material.keys() == {mention.source for mention in mentions(registry)}
    digests, refusals = digest_keys(registry, material)
    assert not refusals
    assert len(digests["team"]) == 64
