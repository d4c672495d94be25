"""The keys of clients: where a registry says that they are, and whether what is there is a key.

Reads neither files nor the environment. Keys go no further than this module: what follows knows
their SHA-256 only. That is enough, unlike for passwords, as long as keys are drawn at random: there
is nothing to guess. Messages repeat no key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from snapshots.registry.problems import Path, Refusal, code
from snapshots.registry.schema import Client, Registry

MIN_KEY_CHARACTERS: Final = 16
MAX_KEY_CHARACTERS: Final = 256
"""A longer key is not looked at, so that nobody can make Envoy digest long headers."""

KeyDigests = Mapping[str, str]
"""The SHA-256 of each client's key, in hexadecimal digits, by the client's name."""
NO_DIGESTS: Final[KeyDigests] = MappingProxyType({})

ReadKey = Callable[[Client], bytes | str]
"""Returns what the file or variable of a client holds, or, as a text, why it cannot be read."""


def place_of_key(client: Client) -> str:
    """Return where the key of *client* is, such as `key_file keys/team-a`."""
    return f"key_{'file' if client.key_file else 'env'} {client.key_file or client.key_env}"


def digest_keys(registry: Registry, read: ReadKey) -> tuple[KeyDigests, list[Refusal]]:
    """Return the digests of all keys of *registry*, and what is wrong with what is there."""
    digests: dict[str, str] = {}
    refusals = list(_digest_each(registry, read, digests))
    return digests, refusals


def _digest_each(registry: Registry, read: ReadKey, digests: dict[str, str]) -> Iterator[Refusal]:
    owners: dict[str, str] = {}
    for name, client in (registry.auth.clients or {}).items():
        field = next(f for f in ("key_file", "key_env", "key_sha256") if getattr(client, f))
        place: Path = ("auth", "clients", name, field)
        if client.key_sha256 is None:
            content = read(client)
            key = content.rstrip(b"\r\n") if isinstance(content, bytes) else b""
            message, hint = _fault(content, key)
            if message:
                yield Refusal(place, message, hint)
                continue
            digests[name] = hashlib.sha256(key).hexdigest()
        owner = owners.setdefault(client.key_sha256 or digests[name], name)
        if owner != name:
            yield Refusal(place, f"client {code(owner)} has the same key", "draw one for each")


def _fault(content: bytes | str, key: bytes) -> tuple[str, str]:
    """Return what is wrong with *key*, and what to do; nothing if it is one."""
    if isinstance(content, str):
        return content, ""
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
