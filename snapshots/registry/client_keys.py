"""The keys of clients: where a registry says that they are, and whether what is there is a key.

Reads neither files nor the environment. Keys go no further than this module: what follows knows
their SHA-256 only. That is enough, unlike for passwords, as long as keys are drawn at random: there
is nothing to guess. Messages repeat no key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from snapshots.material import Material, Mention, Source
from snapshots.registry.problems import Path, Refusal, code
from snapshots.registry.schema import Client, Registry

MIN_KEY_CHARACTERS: Final = 16
MAX_KEY_CHARACTERS: Final = 256
"""A longer key is not looked at, so that nobody can make Envoy digest long headers."""

KeyDigests = Mapping[str, str]
"""The SHA-256 of each client's key, in hexadecimal digits, by the client's name."""
NO_DIGESTS: Final[KeyDigests] = MappingProxyType({})


def place_of_key(client: Client) -> str:
    """Return where the key of *client* is, such as `key_file keys/team-a`."""
    return f"key_{'file' if client.key_file else 'env'} {client.key_file or client.key_env}"


def key_mention(name: str, client: Client) -> Mention | None:
    """Return the entry of the client *name* that tells where its key is, if it is not here."""
    if client.key_file:
        place = ("auth", "clients", name, "key_file")
        return Mention(place, Source("file", client.key_file), "client key")
    if client.key_env:
        place = ("auth", "clients", name, "key_env")
        return Mention(place, Source("variable", client.key_env), "client key")
    return None


def digest_keys(registry: Registry, material: Material) -> tuple[KeyDigests, list[Refusal]]:
    """Return the digests of the keys in *material*, and what is wrong with these keys.

    A client whose key *material* does not hold gets no digest.
    """
    digests: dict[str, str] = {}
    refusals = list(_digest_each(registry, material, digests))
    return digests, refusals


def _digest_each(
    registry: Registry, material: Material, digests: dict[str, str]
) -> Iterator[Refusal]:
    owners: dict[str, str] = {}
    for name, client in (registry.auth.clients or {}).items():
        mention = key_mention(name, client)
        place: Path = mention.path if mention else ("auth", "clients", name, "key_sha256")
        if mention:
            if (content := material.get(mention.source)) is None:
                continue
            key = content.value.rstrip(b"\r\n")
            message, hint = _fault(key)
            if message:
                yield Refusal(place, message, hint)
                continue
            digests[name] = hashlib.sha256(key).hexdigest()
        owner = owners.setdefault(client.key_sha256 or digests[name], name)
        if owner != name:
            yield Refusal(place, f"client {code(owner)} has the same key", "draw one for each")


def _fault(key: bytes) -> tuple[str, str]:
    """Return what is wrong with *key*, and what to do; nothing if it is one."""
    draw = "draw one: openssl rand -hex 24"
    if not key:
        return "the key is empty", draw
    if len(key) < MIN_KEY_CHARACTERS:
        return f"the key is shorter than {MIN_KEY_CHARACTERS} characters", draw
    if len(key) > MAX_KEY_CHARACTERS:
        return f"the key is longer than {MAX_KEY_CHARACTERS} characters", draw
    if not re.fullmatch(rb"[!-~]+", key):
        return "the key holds something else than letters, digits and signs of ASCII", draw
    return "", ""
